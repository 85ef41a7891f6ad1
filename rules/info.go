package rules

// RouteInfo is what a route says, for people to look at.
type RouteInfo struct {
	Name string `json:"name"`
	// Pos is where it stands in the configuration; empty when unknown.
	Pos string `json:"pos,omitempty"`
	// When, Pick and By are the expressions as written; empty when not set.
	When string `json:"when,omitempty"`
	Pick string `json:"pick,omitempty"`
	// To are the deliveries of a match, with the chains that will be used.
	To    []ExplainedTarget `json:"to,omitempty"`
	Split []Share           `json:"split,omitempty"`
	By    string            `json:"by,omitempty"`
	// Otherwise, Stop as in Route; OnError is hold or skip, defaults filled in.
	Otherwise bool   `json:"otherwise,omitempty"`
	Stop      bool   `json:"stop,omitempty"`
	OnError   string `json:"on_error"`
}

// Routes tells about the routes from the given place on, at most n, in their
// order.
func (s *Set) Routes(from, n int) []RouteInfo {
	from = min(max(from, 0), len(s.routes))
	out := make([]RouteInfo, min(max(n, 0), len(s.routes)-from))
	for i := range out {
		out[i] = s.routeInfo(s.route(from + i))
	}
	return out
}

func (s *Set) routeInfo(r *route) RouteInfo {
	x := RouteInfo{
		Name: r.name, Pos: r.pos.String(), When: r.when.Text, Pick: r.pickExpr.Text,
		Otherwise: r.otherwise, Stop: r.stop, OnError: "skip",
	}
	if r.hold {
		x.OnError = "hold"
	}
	for i := range r.to {
		x.To = append(x.To, s.explainedTarget(&r.to[i]))
	}
	if r.split != nil {
		x.By = r.split.expr.Text
		var before uint64
		for _, sh := range r.split.shares {
			x.Split = append(x.Split, Share{Endpoint: sh.target.Endpoint, Weight: int(sh.until - before)})
			before = sh.until
		}
	}
	return x
}
