// Command testreport reads `go test -json` on standard input and says what happened: the output of each failed test, each
// skipped test with its reason, one line per package, and the counts. It exits with 1 when anything failed or was skipped:
// where everything is installed, a skipped test is a promise that nobody checked.
//
//	go test -json ./... | go run .ci/testreport.go
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// event is a line of `go test -json`; see `go doc test2json`.
type event struct {
	Action      string
	Package     string
	Test        string
	Output      string
	Elapsed     float64
	ImportPath  string // of build output
	FailedBuild string
}

// report collects while it reads.
type report struct {
	passed, failed, skipped int
	packages, bad           int
	output                  map[string]*strings.Builder // of tests and packages that have not ended
}

func main() {
	r := report{output: map[string]*strings.Builder{}}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20) // a failing test may print a whole log
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil || e.Action == "" {
			fmt.Println(lines.Text()) // not from a test: say it as it is
			continue
		}
		r.take(e)
	}
	if err := lines.Err(); err != nil {
		fmt.Println("reading the tests' output:", err)
		r.bad++
	}
	fmt.Printf("%d passed, %d failed, %d skipped in %d packages\n", r.passed, r.failed, r.skipped, r.packages)
	if r.failed+r.skipped+r.bad > 0 || r.passed == 0 {
		os.Exit(1)
	}
}

func (r *report) take(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		if r.output[key] == nil {
			r.output[key] = new(strings.Builder)
		}
		_, _ = r.output[key].WriteString(e.Output) // a Builder does not fail
		return
	case "build-output":
		fmt.Print(e.Output)
		return
	case "pass", "fail", "skip":
	default:
		return
	}
	said := ""
	if b := r.output[key]; b != nil {
		said = b.String()
	}
	delete(r.output, key)
	if e.Test == "" {
		r.end(e, said)
		return
	}
	switch e.Action {
	case "pass":
		r.passed++
	case "fail":
		r.failed++
		fmt.Printf("--- FAIL %s %s (%.1fs)\n%s", e.Package, e.Test, e.Elapsed, said)
	case "skip":
		r.skipped++
		fmt.Printf("--- SKIP %s %s\n%s", e.Package, e.Test, said)
	}
}

// end of a package. A package may fail without a failed test: it does not compile, it panics, it leaks.
func (r *report) end(e event, said string) {
	switch e.Action {
	case "pass":
		r.packages++
		fmt.Printf("ok   %s (%.1fs)\n", e.Package, e.Elapsed)
	case "skip": // no test files
	case "fail":
		r.packages++
		r.bad++
		fmt.Printf("FAIL %s (%.1fs)\n%s", e.Package, e.Elapsed, said)
	}
}
