// Package retry decides, without touching anything, what the end of one
// attempt means ([Classify]) and when the next one is due ([Schedule],
// [LocalBackoff]).
//
//	status or error ─► Classify ─► Verdict ─► success?            done
//	                                          spends a step?      Schedule.Next(tries)
//	                                          our own fault?      LocalBackoff(n)
//	                                          Hold                not before then
//
// Other packages name the outcome of their own errors by a method
//
//	Outcome() string
//
// holding one of this package's outcome words, so that neither side has to
// import the other: the address guard's error says "address_blocked" this way.
package retry
