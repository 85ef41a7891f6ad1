package delivery

// PlanWith is a copy of a plan as endpoints made at run time need it.
func PlanWith(p *Plan) *Plan { return p.with(p.Endpoints, p.Router) }
