package delivery

import "time"

// MaxRouteUses bounds what is counted of routes.
const MaxRouteUses = maxRouteUses

// PlanWith is a copy of a plan as endpoints made at run time need it.
func PlanWith(p *Plan) *Plan { return p.with(p.Endpoints, p.Router) }

// What steps of a check say of facts.
var (
	ConnectSteps = connectSteps
	AnswerStep   = answerStep
)

// Lanes counts the lanes there are.
func (e *Engine) Lanes() int { return len(e.allLanes()) }

// Tallies counts the endpoints whose attempts are counted.
func (e *Engine) Tallies() (n int) {
	e.activity.known.Range(func(any, any) bool { n++; return true })
	return n
}

// RestIdleLanes lets lanes go as if it were that time.
func (e *Engine) RestIdleLanes(now time.Time) { e.restIdleLanes(now) }

// WithClock is a configuration of an engine that goes by that clock.
func (c Config) WithClock(now func() time.Time) Config {
	c.now = now
	return c
}

// ProbeLapsed tells whether others may be promised a probe that was promised at that time, in Unix milliseconds.
func ProbeLapsed(promised int64, now time.Time) bool { return lapsed(promised, now) }
