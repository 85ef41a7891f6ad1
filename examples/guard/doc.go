// Package guard compares the address guard of deliveries with others' work: with code.dny.dev/ssrf, whose ranges are made from
// IANA's registries, and with the kernel. It is a module of its own, so that what it compares with is no dependency of the
// gateway.
package guard
