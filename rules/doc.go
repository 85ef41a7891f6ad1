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
// # Finding the rules of an event
//
// Match does not evaluate every rule. From the tree of each condition it knows
// sets of clues (access.go): that event.type is "order.paid", that data.sku
// starts with "A-", that one of data.items has a certain sku. While an event
// holds no clue of a set, the rule is false or missing, so it is neither applied
// nor reported, and need not be looked at. A discrimination tree over the clues
// (index.go) leads an event to the rules of which it holds a clue of every set.
// Subscriptions stand in the same tree, by tenant, types and environments. Rules
// without clues are evaluated for every event.
//
// What Match decides is exactly what evaluating every rule would. For skipping a
// rule to be exact, for the outcome error as well as for true:
//
//  1. And, or and not are commutative in failures. A false part of an and hides
//     the failures of all others, so the clues of any part will do for the whole.
//     An or needs clues of every part.
//  2. Missing ranks above error in and: a part that is missing hides failures
//     too. In or it does not: not (a or b), with a missing and b failing, fails.
//     So a negation has the clues only of what keeps the negated from being
//     true, of which a missing value is one: for not (data.n < 5) that is a
//     number from 5 on, a value of another type, or none.
//  3. An atom fails for values of the wrong type, so these hold its clue: a
//     number sends an event to all rules that ask what the text starts with. A
//     payload that is not JSON holds every clue about it.
//  4. What is looked up is what the atom compares: texts byte by byte, numbers
//     as float64, which is necessary for all of expr's equalities of numbers
//     and, between large integers, not sufficient. Rules that are found are
//     evaluated, so too many may be found, but never too few. JSON has no NaN.
//  5. Absent and null are nil; [] and "" are not. Expr's optimizer, which turns
//     lists into maps in which they are confused, is off.
//  6. A regular expression has a beginning when it starts with \A or ^ and a
//     literal that is neither case-folded nor U+FFFD, which also matches bytes
//     that are not UTF-8; a glob has one up to its first *, ? or backslash.
//  7. What an atom with clues does before it finds that the event holds none
//     costs no steps, so that a rule that is skipped cannot be one that would
//     have run out of them.
//  8. The set is immutable, and atoms are functions of the event alone.
//
// A randomized test holds Match to evaluating every rule by itself, on the expr
// machine and with encoding/json (exact_test.go), and is itself held to notice
// some seventy mistakes in the index (.ci/mutants.go).
//
// Of the payload, only what the rules read is looked at ([Set.Paths]): one pass
// over the bytes finds it, without decoding or allocating, and only when a rule
// that the event's fields do not rule out reads any (plan.go, extract.go). What
// the expr machine is to work on is decoded, piece by piece.
//
// [Set.Change] makes a set with other subscriptions out of one, sharing all that
// stays; [Set.Recompile] one of another configuration, sharing what the two have
// in common, the index included (renew.go).
//
// # Explanations
//
// [Set.Explain] says why: it takes each condition apart once more and shows
// every part with its outcome and the values it read (part.go, explain*.go).
// [Explanation.Draw] draws that for a terminal.
//
// [Set.Check] runs rule tests and counts which outcomes of which parts they saw
// (check.go, coverage.go, testfile.go), [Set.Lint] finds rules that cannot have
// been meant (lint.go), by reasoning about conditions that is sound and not
// complete (logic.go), and [Compare] says which events two sets treat
// differently (diff.go). With [Config.Shapes], paths that no payload has are
// mistakes (shapes.go), in what computes values beside the rules as well
// ([PathChecker]).
//
// # Transforms
//
// [CompileTransform] makes bodies by the same language. What Go's maps forget,
// the order in which members stand, is kept (object.go).
//
// # Bounds
//
// Expressions may come from people who should not be able to slow the gateway
// down. Their text, nesting, size and vocabulary are bounded when compiled
// (limits.go, vet.go). Each evaluation has a budget of 100,000 steps, some 10
// ms, charged for every loop and for every operation whose cost grows with the
// event, and room for 900 KiB of text and lists that it makes (machine.go). A
// loop is charged for all its elements before it begins: a condition with two
// look-ups per element reaches some 8,000 elements, unless it is one of the
// forms that are evaluated without the expr machine. Evaluation is a pure
// function of the event: there is no clock, no environment, no randomness and
// no iteration in map order.
package rules
