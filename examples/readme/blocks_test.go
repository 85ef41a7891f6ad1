package readme_test

import (
	"fmt"
	"regexp"
	"strings"
)

// block is a fenced ```sh block of the README, and what is said about it.
type block struct {
	line   int // of its first command
	script string
	// output is the ```text or ```json block that follows directly: what the script prints, with … for what varies.
	// Empty: it must succeed, whatever it prints.
	output string
	// How it is run, from the comment before it:
	//
	//	<!-- run: background until 127.0.0.1:80 https://localhost:443 -->   left running until the end; the next block waits until
	//	                                                                   it listens there, with a certificate where it says https
	//	<!-- run: eventually -->   repeated until its output is as shown, for ten seconds at most
	//	<!-- run: by .ci/run -->   not run here but by that file, which must exist
	background, by string
	eventually     bool
}

var directive = regexp.MustCompile(`^<!-- run: (?:(background) until (\S+(?: \S+)*)|(eventually)|by (\S+)) -->$`)

// blocks finds the README's commands in their order.
func blocks(readme string) ([]block, error) {
	var found []block
	var next block    // options for the block to come
	afterSh := false  // only blank lines since the last sh block
	var fence *string // collects the lines of the block we are in; nil outside
	closing := ""     // what ends it
	for i, line := range strings.Split(readme, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case fence != nil && trimmed == closing:
			fence = nil
		case fence != nil:
			*fence += line + "\n"
		case strings.HasPrefix(trimmed, "```"):
			closing = trimmed[:len(trimmed)-len(strings.TrimLeft(trimmed, "`"))]
			fence = new(string)
			switch language := trimmed[len(closing):]; {
			case language == "sh":
				next.line = i + 2
				found = append(found, next)
				next, fence = block{}, &found[len(found)-1].script
				afterSh = true
			case (language == "text" || language == "json") && afterSh:
				fence = &found[len(found)-1].output
				afterSh = false
			}
		case strings.HasPrefix(trimmed, "<!-- run:"):
			m := directive.FindStringSubmatch(trimmed)
			if m == nil {
				return nil, fmt.Errorf("line %d: not a directive that is known: %s", i+1, trimmed)
			}
			next = block{background: m[2], eventually: m[3] != "", by: m[4]}
			afterSh = false
		case trimmed != "":
			if next != (block{}) {
				return nil, fmt.Errorf("line %d: a directive must stand directly before its sh block", i+1)
			}
			afterSh = false
		}
	}
	if fence != nil {
		return nil, fmt.Errorf("a block that begins with %s does not end", closing)
	}
	return found, nil
}

// matches tells whether got is what the README shows. … stands for anything, line breaks included; blanks at the ends of
// lines do not count.
func matches(shown, got string) bool {
	var pattern strings.Builder
	pattern.WriteString(`(?s)^`)
	for i, part := range strings.Split(tidy(shown), "…") {
		if i > 0 {
			pattern.WriteString(`.*?`)
		}
		pattern.WriteString(regexp.QuoteMeta(part))
	}
	pattern.WriteString(`$`)
	return regexp.MustCompile(pattern.String()).MatchString(tidy(got))
}

func tidy(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " \t\r")
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n")
}
