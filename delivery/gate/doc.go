// Package gate answers one question for a lane: may this endpoint be tried
// now, and if not, when? A gate never blocks and never sleeps. It lets a try
// pass, or gives a [Hold]: the reason, and a time or the promise of a wake-up.
//
//	            n failures in a row, or a bad share
//	           ┌───────────────────────────────────►┐
//	closed ────┤                                     open ──── Open has passed ───► half_open
//	  ▲        └─ attempts pass, results are counted ▲           one probe passes       │
//	  │                                              └──────────── probe failed ────────┤
//	  └───────────────────────────────────────────────────────── probe succeeded ───────┘
//
// [Breaker] stops attempts at an endpoint that is down. [Slots] bounds its
// attempts in flight, few while it is silent and more as it answers. [Rate]
// bounds attempts per second, minute or hour. [Fair] shares what all lanes
// need, attempts in flight and the tokens of one rate, turn by turn.
package gate
