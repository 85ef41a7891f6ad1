package rules

// Event is what rules see of an event. Match reads it and keeps nothing of it.
type Event struct {
	// ID, Type, Environment, Tenant, Source and Timestamp are event.id and so
	// on in expressions. An empty one is the empty string there, not missing.
	ID, Type, Environment, Tenant, Source, Timestamp string

	// Data is the JSON value behind `data`. It is decoded when the first
	// expression needs it and at most once per Match. Empty means that the
	// event has no payload: every path into it is missing.
	Data []byte
}

// Pos is a place in the configuration, for messages.
type Pos struct {
	File string
	Line int // counted from 1; 0 when unknown
}

// Expr is one expression of the configuration.
type Expr struct {
	// Text is the expression. Empty means not set.
	Text string
	// Pos is where the first line of Text stands.
	Pos Pos
}

// OnError says what becomes of an event for which a rule fails.
type OnError uint8

const (
	// OnErrorDefault is OnErrorSkip in MatchAll and OnErrorHold in MatchFirst.
	OnErrorDefault OnError = iota
	// OnErrorHold leaves the event undecided for the rule.
	OnErrorHold
	// OnErrorSkip goes on as if the rule had not matched.
	OnErrorSkip
)

// Mode says how many routes may apply to one event.
type Mode uint8

const (
	// MatchAll applies every matching route.
	MatchAll Mode = iota
	// MatchFirst applies the first matching route.
	MatchFirst
)

// Chain is one delivery: an endpoint and those that stand in for it, in order.
type Chain struct {
	Primary string
	Backups []string // empty: the endpoint's own default chain
}

// Share is an endpoint's part of a split.
type Share struct {
	Endpoint string `json:"endpoint"`
	// Weight is the endpoint's share of the sum of all weights. 0: none.
	Weight int `json:"weight"`
}

// Route is one routing rule.
type Route struct {
	// Name is unique in the configuration: 1 to 64 of A-Z a-z 0-9 _ and -.
	Name string
	// When is the condition. Not set: the route matches every event.
	When Expr
	// To lists the deliveries of a match, one per chain.
	To []Chain
	// Pick computes one more delivery: an endpoint name, or a list of names
	// whose first is the primary and whose rest are its backups (repeated
	// names count once). A missing value or an empty list picks nothing; a
	// value of another type or an unknown name is an error.
	Pick Expr
	// Split sends each event to one of these endpoints, in proportion to
	// their weights: by the hash of By, a string or an integer, so that what
	// shares a key goes to one endpoint. By not set, or missing in an event:
	// event.id.
	Split []Share
	By    Expr
	// Otherwise makes the route apply only when nothing else does.
	Otherwise bool
	// Stop keeps later routes from being tried once this one matched.
	Stop bool
	// OnError is what to do when When, Pick or By fails.
	OnError OnError
	Pos     Pos
}

// Subscription is an endpoint's own interest in events, an implicit route to it.
// Its condition fails as a route with OnErrorDefault does.
type Subscription struct {
	Endpoint string
	// Types are the wanted event types, any of: an exact type, "prefix.*" for
	// everything below a prefix, "*" for all. At least one.
	Types []string
	// When narrows the subscription. Not set: no further condition.
	When Expr
	// Environments are the wanted environments. Empty: all.
	Environments []string
	// Tenant is the wanted tenant. Empty: all.
	Tenant string
	Pos    Pos
}

// Config is everything a rule set is made from.
type Config struct {
	Mode          Mode
	Routes        []Route
	Subscriptions []Subscription
	// Endpoints are the names routes may send to.
	Endpoints []string
	// Backups are the default chains of endpoints, by name. Explanations, rule
	// tests and comparisons show them; Match leaves them to its caller.
	Backups map[string][]string
	// Types are the event types that there are, Shapes knows their payloads: a
	// path that no payload of the types a rule sees can hold is a mistake.
	// Empty, nil: nothing is known.
	Types  []string
	Shapes Shapes
	// Environments are the declared environment names; a subscription may
	// name no others. Empty: any name.
	Environments []string
}
