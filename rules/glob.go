package rules

import "unicode/utf8"

// glob reports whether pattern matches all of s. "*" stands for any run of
// characters, the empty one too, "?" for one character, and a backslash takes
// the character after it as it is. Matching is case-sensitive.
//
// Only the last star is ever reconsidered, which is enough because a star that
// can match later can match now: at most len(pattern)*len(s) steps.
func glob(pattern, s string) bool {
	p, i := 0, 0
	starP, starI := -1, 0 // after the last star; where its run ended
	for i < len(s) {
		if p < len(pattern) && pattern[p] == '*' {
			p++
			starP, starI = p, i
			continue
		}
		if dp, di := globStep(pattern[p:], s[i:]); dp > 0 {
			p, i = p+dp, i+di
			continue
		}
		if starP < 0 {
			return false
		}
		_, w := utf8.DecodeRuneInString(s[starI:])
		starI += w
		p, i = starP, starI
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// globStep matches one element of a pattern that is not a star, and returns
// how many bytes of the pattern and of s it took; 0, 0 when it does not match.
func globStep(pattern, s string) (dp, di int) {
	if pattern == "" {
		return 0, 0
	}
	switch c := pattern[0]; {
	case c == '?':
		_, w := utf8.DecodeRuneInString(s)
		return 1, w
	case c == '\\' && len(pattern) > 1:
		if pattern[1] == s[0] {
			return 2, 1
		}
	case c == s[0]:
		return 1, 1
	}
	return 0, 0
}
