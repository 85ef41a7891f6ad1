// Package rules decides which endpoints want an event.
//
// A rule set is made once by [Compile] from the routes and subscriptions of a
// configuration, is immutable, and is asked with [Set.Match], the only door:
// one event in, one [Decision] out, from any number of goroutines. The package
// knows no delivery, no HTTP and no Caddy.
//
// # Conditions
//
// Conditions are written in expr (expr-lang.org) over two variables: event,
// with the string fields id, type, environment, tenant, source and timestamp
// (an unset one is ""), and data, the JSON payload. Every way into the payload
// is total: a missing member, a null, a parent that is no object or array, and
// an index out of range all give the value missing (nil), never a failure.
//
// A condition is split at and, or and not. Each remaining part, an atom, is
// evaluated by itself and has one of four outcomes:
//
//   - true and false;
//   - missing: the atom has no value, or failed after reading something that
//     the event does not hold;
//   - error: the atom failed for another reason, nearly always a value of an
//     unexpected type.
//
// They combine without regard to the order in which they are written:
//
//	and    false > missing > error > true
//	or     true > error > missing > false
//	not    swaps true and false only
//
// A rule matches on true alone. Missing is a quiet no-match. Error is reported
// in [Decision.Errors] and then handled as the rule's [OnError] says.
//
// What an atom makes of a missing value is expr's own rule: ==, in,
// startsWith, endsWith, contains and matches are false (so != and "not in" are
// true), while comparisons, arithmetic and functions fail, which makes the
// atom missing. The functions of this package give missing for missing. What
// the operators above, the left of ?? and has() read may well be absent: it
// never makes an atom missing that fails for another reason.
//
// # Matching
//
// In [MatchAll] every matching route applies, in [MatchFirst] the first one
// decides; subscriptions apply in both. Targets come out in the order of the
// configuration, routes before subscriptions, and an endpoint is the primary
// of at most one target: the first chain that names it wins. A route that is
// held leaves the event undecided for it, and nothing falls through: in
// MatchFirst no later route is tried, in MatchAll none after a held route that
// says stop. Otherwise-routes are tried when nothing matched and nothing is
// held. An event that matched nothing while some rule failed is undecided
// whatever those rules' OnError says: it would be lost without anyone having
// decided so.
//
// # Explanations
//
// [Set.Explain] says why: it takes each condition apart once more and shows
// every part with its outcome and the values it read (part.go, explain*.go).
// [Explanation.Draw] draws that for a terminal.
//
// # Bounds
//
// Expressions may come from people who should not be able to slow the gateway
// down. Their text, nesting, size and vocabulary are bounded when compiled
// (limits.go, vet.go), and each evaluation has a step budget, charged for every
// loop and for every operation whose cost grows with the event (machine.go).
// Evaluation is a pure function of the event: there is no clock, no
// environment, no randomness and no iteration in map order.
package rules
