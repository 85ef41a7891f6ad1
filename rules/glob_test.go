package rules

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestGlob(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"*", "abc", true},
		{"a*", "abc", true},
		{"a*", "bac", false},
		{"*c", "abc", true},
		{"a*c", "abbbc", true},
		{"a*c", "abbb", false},
		{"a*b*c", "aXbXbXc", true},
		{"**a**", "xax", true},
		{"?", "a", true},
		{"?", "", false},
		{"?", "ab", false},
		{"?", "é", true},
		{"a?c", "aéc", true},
		{"*?", "", false},
		{"label.*", "label.created", true},
		{"label.*", "label", false},
		{"label.*", "labelx", false},
		{`\*`, "*", true},
		{`\*`, "a", false},
		{`a\?`, "a?", true},
		{`\`, `\`, true},
		{"[a]", "[a]", true},
		{"*a*b", "aaaaab", true},
		{"A", "a", false},
		{"*", "a*b", true},
		{"é*", "éa", true},
		{"*é", "aé", true},
	} {
		if got := glob(tt.pattern, tt.s); got != tt.want {
			t.Errorf("glob(%q, %q) = %v", tt.pattern, tt.s, got)
		}
	}
}

// globSlowly says what a pattern means, character by character.
func globSlowly(p, s []rune) bool {
	switch {
	case len(p) == 0:
		return len(s) == 0
	case p[0] == '*':
		return globSlowly(p[1:], s) || len(s) > 0 && globSlowly(p, s[1:])
	case len(s) == 0:
		return false
	case p[0] == '\\' && len(p) > 1:
		return p[1] == s[0] && globSlowly(p[2:], s[1:])
	}
	return (p[0] == '?' || p[0] == s[0]) && globSlowly(p[1:], s[1:])
}

func FuzzGlob(f *testing.F) {
	f.Add("a*b?c", "aXXbYc")
	f.Add(`*\*é`, "xx*é")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if !utf8.ValidString(pattern) || !utf8.ValidString(s) || strings.Count(pattern, "*") > 4 || len(s) > 50 {
			return
		}
		if got, want := glob(pattern, s), globSlowly([]rune(pattern), []rune(s)); got != want {
			t.Errorf("glob(%q, %q) = %v", pattern, s, got)
		}
	})
}
