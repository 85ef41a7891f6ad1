package rules

import "strings"

// closest returns the candidate that name was most likely meant to be, or "".
// Two mistakes are forgiven, one in names of up to four characters: nearer
// guesses would name unrelated things.
func closest(name string, candidates []string) string {
	best, found := "", 3
	if len(name) <= 4 {
		found = 2
	}
	for _, c := range candidates {
		if c == name {
			continue
		}
		if strings.EqualFold(c, name) {
			return c
		}
		if d := distance(name, c, found); d < found {
			best, found = c, d
		}
	}
	return best
}

// didYouMean is closest as a sentence, or "".
func didYouMean(name string, candidates []string) string {
	if c := closest(name, candidates); c != "" {
		return "did you mean " + c + "?"
	}
	return ""
}

// distance counts the edits (insert, delete, replace, swap of neighbours) from
// a to b, in bytes. It gives up with limit when there are at least that many.
func distance(a, b string, limit int) int {
	if d := len(a) - len(b); d >= limit || -d >= limit || len(a) > 64 {
		return limit
	}
	older, old, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range old {
		old[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			d := min(old[j]+cost, old[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				d = min(d, older[j-1]+1)
			}
			row[j+1] = d
		}
		older, old, row = old, row, older
	}
	return min(old[len(b)], limit)
}
