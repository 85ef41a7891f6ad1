package payload

import "iter"

// didYouMean returns `: did you mean "x"?` for the known name nearest to name,
// or "" if none is near: within two slips (a letter missing, added, wrong, or
// two swapped), one for names of up to four letters.
func didYouMean(name string, known iter.Seq[string]) string {
	slips := 2
	if len(name) <= 4 {
		slips = 1
	}
	best := ""
	for k := range known {
		if d := distance(name, k, slips); d <= slips && k != name {
			best = k
			if slips = d - 1; slips < 0 {
				break
			}
		}
	}
	if best == "" {
		return ""
	}
	return ": did you mean " + excerpt(best) + "?"
}

// maxCompared bounds the work on names that somebody sends to make us compare
// them with every type of a large catalog: nothing longer is a typing slip.
const maxCompared = 128

// distance counts the slips between a and b (optimal string alignment), and
// gives up with most+1 as soon as there are more than most.
func distance(a, b string, most int) int {
	if d := len(a) - len(b); d > most || -d > most || len(a) > maxCompared {
		return most + 1
	}
	var rows [3][maxCompared + 4]int
	before, above, row := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		above[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		least := row[0]
		for j := range len(b) {
			d := above[j]
			if a[i] != b[j] {
				d = min(d, above[j+1], row[j]) + 1
				if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
					d = min(d, before[j-1]+1)
				}
			}
			row[j+1] = d
			least = min(least, d)
		}
		if least > most {
			return most + 1
		}
		before, above, row = above, row, before
	}
	return above[len(b)]
}
