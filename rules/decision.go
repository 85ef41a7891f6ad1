package rules

// subscriptionPrefix marks the rule names of subscriptions. Route names cannot
// hold a colon, so the two never collide.
const subscriptionPrefix = "endpoint:"

// Decision is what a rule set makes of one event.
type Decision struct {
	// Targets are the deliveries to make, in order. No two have the same
	// Endpoint. They stand even when the event is undecided for other rules.
	Targets []Target

	// Idle names the routes that matched and add no target: earlier ones had
	// reached all their endpoints.
	Idle []string

	// Held names the rules that leave the event undecided: route names, or
	// "endpoint:<name>" for the condition of a subscription.
	Held []string

	// Errors are the rules that failed, held or not, in the order tried.
	Errors []RouteError

	// Undecided reports whether Held is not empty.
	Undecided bool
}

// Target is one delivery. Its slices belong to the rule set: read only.
type Target struct {
	// Route is the name of the route that asks for the delivery, or
	// "endpoint:<name>" for the subscription of an endpoint. Never empty.
	Route string
	// Endpoint is the primary.
	Endpoint string
	// Backups stand in for it, in order, when BackupsSet.
	Backups []string
	// BackupsSet is true when the route names backups of its own, which
	// replace the endpoint's default chain.
	BackupsSet bool
}

// RouteError is the failure of one rule for one event.
type RouteError struct {
	Route string // as in Target.Route
	Field string // "when", "pick" or "by"
	Pos   Pos    // the line that failed
	// Text says what failed, with the expression's line and a caret below.
	// It names types and places, never a value of the event, which may be
	// secret.
	Text string
	// Held reports whether the rule is in Decision.Held.
	Held bool
}
