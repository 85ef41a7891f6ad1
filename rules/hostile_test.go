package rules

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// patience is how long one hostile expression may take, compiling and running.
// Some 10 ms is the aim; the rest is for slow, shared and race-detecting machines.
const patience = time.Second

// hostileEvent is as large as ingest lets events be: 256 KiB.
func hostileEvent() *Event {
	list := func(n int, e string) string { return "[" + strings.TrimSuffix(strings.Repeat(e+",", n), ",") + "]" }
	return &Event{Type: "x", Data: []byte(`{
		"ones": ` + list(20_000, "1") + `, "other": ` + list(20_000, "1") + `,
		"rows": ` + list(4_000, `{"a":"b"}`) + `,
		"as": "` + strings.Repeat("a", 64<<10) + `", "too": "` + strings.Repeat("a", 64<<10) + `",
		"wide": "` + strings.Repeat("ẞ", 10<<10) + `", "n": 1000000000
	}`)}
}

func parentheses(n int) string { return strings.Repeat("(", n) + "true" + strings.Repeat(")", n) }

// hostileAndRefused must not compile.
var hostileAndRefused = map[string]string{
	"a megabyte of parentheses overflows the parser's stack": strings.Repeat("(", 1<<20),
	"brackets one deeper than allowed":                       parentheses(maxNesting + 1),
	"mixed brackets nest too":                                strings.Repeat("[({", 22) + "1",
	"brackets after a quote in a string":                     `"\"" == "` + `" + ` + strings.Repeat("(", 65),
	"brackets after a comment":                               "/* \" */ // '\n" + strings.Repeat("(", 65),
	"a long text":                                            "true" + strings.Repeat(" ", conditionLimits.source),
	"many nodes":                                             "true" + strings.Repeat(" && true", conditionLimits.nodes/2),
	"a chain of unary operators is recursion too":            strings.Repeat("!", conditionLimits.source-4) + "true",
	"a chain of conditionals":                                strings.Repeat("data.a?", 500) + "true" + strings.Repeat(":true", 500),
	"a chain of else-ifs":                                    strings.Repeat("if data.a {true} else ", 150) + "{true}",
	"not UTF-8":                                              "data.x == \"\xff\"",
	"a range of a billion":                                   "len(1..1000000000) > 0",
	"doubling by reduce":                                     `reduce(1..40, #acc + #acc, "x") == ""`,
	"nested loops":                                           "any(data.ones, any(data.ones, any(data.ones, false)))",
	"nested loops through let":                               "let r = data.ones; all(r, all(r, true))",
	"a pattern that is a large program":                      `data.as matches "(a{1,100}b{1,100}){5}"`,
	"a long pattern":                                         `data.as matches "` + strings.Repeat("a?", 200) + `"`,
	"a pattern from the payload":                             "data.as matches data.too",
	"a long glob":                                            `glob("` + strings.Repeat("*a", 200) + `", data.as)`,
	"a glob from the payload":                                "glob(data.as, data.too)",
	"quadratic functions":                                    "len(uniq(data.ones)) > 1",
	"repeat":                                                 `len(repeat("aaaaaaaa", 1000000)) > 1`,
	"the environment":                                        `env("HOME") == ""`,
	"the whole environment of the expression":                `len($env) > 0`,
	"internal functions":                                     "@loop(data.x, 1) == 1",
}

func TestHostileExpressionsAreRefused(t *testing.T) {
	t.Parallel()
	for name, text := range hostileAndRefused {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			if _, found := newExprCompiler().condition(text); found == nil {
				t.Errorf("accepted: %.80s", text)
			}
			if took := time.Since(start); took > patience {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestBracketsInsideLiteralsDoNotCount(t *testing.T) {
	t.Parallel()
	many := strings.Repeat("(", maxNesting+1)
	for _, text := range []string{
		`data.x == "` + many + `"`, `data.x == '\'` + many + `'`, "data.x == `" + many + "``" + many + "`",
		"data.x == 1 // " + many, "data.x /* " + many + " */ == 1", strings.Repeat("(", 64) + "true" + strings.Repeat(")", 64),
	} {
		if _, found := newExprCompiler().condition(text); found != nil {
			t.Errorf("refused %s: %+v", text, found)
		}
	}
}

// chained repeats an operand n times with an operator between.
func chained(op, operand string, n int) string {
	return strings.TrimSuffix(strings.Repeat(operand+" "+op+" ", n), " "+op+" ")
}

// members are n members of an object.
func members(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "'k%d': 1,", i)
	}
	return b.String()
}

// hostileAndStopped compiles, and must be stopped. The comment of a row says
// what it would cost otherwise.
var hostileAndStopped = map[string]string{
	// 20,000 turns with 230 nodes each.
	"a large loop body": "all(data.ones, " + chained("+", "#", 110) + " > 0)",
	// 20,000 × 64 KiB scanned.
	"a search of the payload per turn":        "any(data.ones, data.as contains 'ab')",
	"a search of a variable per turn":         "let s = data.as; any(data.ones, s contains 'ab')",
	"a comparison per turn":                   "all(data.ones, data.as == data.too)",
	"an ordering per turn":                    "all(data.ones, data.as <= data.too)",
	"a prefix per turn":                       "all(data.ones, data.as startsWith data.too)",
	"a literal per turn":                      "any(data.ones, '" + strings.Repeat("a", 3000) + "' contains 'ab')",
	"a long key per turn":                     "any(data.ones, data[data.as] == 1)",
	"a long key inside a list per turn":       "any(data.ones, len([data[data.as]]) > 1)",
	"a long key looked for per turn":          "any(data.ones, data.as in data)",
	"a hash per turn":                         "any(data.ones, hash(data.as, 9) == 10)",
	"a search per turn after a missing value": "any(data.ones, len([data.absent]) > 1 or data.as contains 'ab')",
	"a conversion per turn":                   "any(data.ones, upper(data.as) == '')",
	"a chain of conversions":                  "any(data.rows, " + strings.Repeat("upper(lower(", 20) + "data.wide" + strings.Repeat("))", 20) + " == '')",
	// 20,000 × 20,000 comparisons.
	"a list searched per turn":             "any(data.ones, 2 in data.ones)",
	"a list compared per turn":             "all(data.ones, data.ones == data.other)",
	"a list searched for lists per turn":   "any(data.ones, data.other in [data.ones, data.ones])",
	"lists made per turn":                  "len(map(data.ones, concat(data.ones, data.ones))) > 0",
	"literal lists made per turn":          "len(map(data.ones, [" + chained(",", "1", 200) + "])) > 0",
	"lists of lists":                       "len(flatten(map(data.ones, data.ones))) > 0",
	"an aggregate per turn":                "any(data.ones, max(data.ones) > 1)",
	"keys per turn":                        "any(data.rows, len(keys(data)) == 0)",
	"a pattern per turn":                   "any(data.ones, data.as matches 'a+b')",
	"a pattern of many states":             "data.as matches '(a?){80}(a?){80}(a?){60}b'",
	"a glob of many stars":                 "glob('" + strings.Repeat("*a?", 80) + "b*', data.as)",
	"a glob of many stars, on the machine": "glob('" + strings.Repeat("*a?", 80) + "b*', lower(data.as))",
	// 64 KiB × 64 KiB, 4 GiB.
	"replacing every character by the payload": "len(replace(data.as, 'a', data.too)) > 0",
	"replacing nothing by the payload":         "len(replace(data.as, '', data.too)) > 0",
	"joining with the payload between":         "len(join(split(data.as, ''), data.too)) > 0",
	"joining copies of a literal":              "len(join(map(data.ones, '" + strings.Repeat("a", 3000) + "'))) > 0",
	"trimming by a long set":                   "trim(data.as + 'b', 'ẞ" + strings.Repeat("x", 3000) + "a') == ''",
	"splitting again and again":                chained("+", "len(split(data.as, ''))", 20) + " > 0",
	// Doubling, 2^20 times.
	"doubling text by let":    "let a = data.as + data.as; let b = a+a; let c = b+b; let d = c+c; let e = d+d; let f = e+e; let g = f+f; let h = g+g; let i = h+h; len(i+i) > 0",
	"doubling lists by let":   "let a = concat(data.ones, data.ones); let b = concat(a,a); let c = concat(b,b); let d = concat(c,c); let e = concat(d,d); let f = concat(e,e); len(f) > 0",
	"doubling trees by let":   "let a = [1,1]; let b = [a,a]; let c = [b,b]; let d = [c,c]; let e = [d,d]; let f = [e,e]; let g = [f,f]; let h = [g,g]; let i = [h,h]; let j = [i,i]; let k = [j,j]; let l = [k,k]; let m = [l,l]; let n = [m,m]; let o = [n,n]; let p = [o,o]; let q = [p,p]; let r = [q,q]; let s = [r,r]; let t = [s,s]; let u = [t,t]; let v = [u,u]; len(flatten(v)) > 0",
	"comparing doubled trees": "let a = [1,1]; let b = [a,a]; let c = [b,b]; let d = [c,c]; let e = [d,d]; let f = [e,e]; let g = [f,f]; let h = [g,g]; let i = [h,h]; let j = [i,i]; let k = [j,j]; let l = [k,k]; let m = [l,l]; let n = [m,m]; let o = [n,n]; let p = [o,o]; let q = [p,p]; let r = [q,q]; let s = [r,r]; [s,s] == [r,s]",
	"printing doubled trees":  "let a = [1,1]; let b = [a,a]; let c = [b,b]; let d = [c,c]; let e = [d,d]; let f = [e,e]; let g = [f,f]; let h = [g,g]; let i = [h,h]; let j = [i,i]; let k = [j,j]; let l = [k,k]; let m = [l,l]; let n = [m,m]; let o = [n,n]; let p = [o,o]; let q = [p,p]; let r = [q,q]; let s = [r,r]; string([s,s]) == ''",
	// Copies of copies: 60 × 64 KiB added one by one.
	"a long sum of texts": "len(" + chained("+", "data.as", 60) + ") > 0",
	// What is made must be charged for wherever it is made.
	"objects made per turn":            "len(map(data.ones, ({'a': #, 'b': [#, #]}))) > 0",
	"large objects made per turn":      "len(map(data.rows, ({" + members(60) + "}))) > 0",
	"filtering again and again":        "len(" + strings.Repeat("filter(", 30) + "data.ones" + strings.Repeat(", true)", 30) + ") > 0",
	"mapping again and again":          "len(" + strings.Repeat("map(", 30) + "data.ones" + strings.Repeat(", # + 1000)", 30) + ") > 0",
	"reversing again and again":        "len(" + strings.Repeat("reverse(", 40) + "data.ones" + strings.Repeat(")", 40) + ") > 0",
	"encoding again and again":         strings.Repeat("toBase64(", 40) + "data.as" + strings.Repeat(")", 40) + " == ''",
	"splitting after nothing per turn": "any(data.rows, len(splitAfter(data.as, '')) == 0)",
	"joining a split again and again":  strings.Repeat("join(split(", 20) + "data.as" + strings.Repeat(", ''), 'bb')", 20) + " == ''",
	"printing the payload per turn":    "any(data.rows, string(data) == '')",
	"flattening the payload per turn":  "any(data.rows, len(flatten(data.rows)) == 0)",
	"values of the payload per turn":   "any(data.rows, len(values(data)) == 0)",
	"sums of floats per turn":          "any(data.ones, mean(data.ones) + median(data.other) == 0.5)",
	"trimming per turn":                "any(data.ones, trim(data.as) == '')",
	"indexes of text per turn":         "any(data.ones, indexOf(data.as, 'b') == 1)",
	"slices of text made longer":       "let s = data.as; " + chained("+", "(s[1:] + s[:9000])", 30) + " == ''",
	"a version per turn":               "all(data.rows, semver('1.2.3', '>=1') and semver('1.2.4', '>=1'))",
	"an address per turn":              "all(data.ones, cidr('192.0.2.1', '192.0.2.0/24') and cidr('::1', '::/0'))",
	"a choice per turn":                "all(data.ones, (# == 1 ? data.as : data.too) != upper(data.wide))",
	"numbers as texts per turn":        "all(data.ones, string(# + 100000) != '' and int('12345678') > 1 and float('1e3') > 1)",
	// The same list 60 times.
	"many loops":       chained("+", "count(data.ones, # == 1)", 24) + " > 0",
	"many comparisons": chained("&&", "(data.ones == data.other)", 30),
	"many searches":    "(" + chained(") || (", "2 in data.ones", 40) + ")",
	"many aggregates":  chained("+", "median(data.ones)", 45) + " > 0",
}

// TestHostileExpressionsAreStopped holds what compiles to bounds in time and
// memory.
func TestHostileExpressionsAreStopped(t *testing.T) {
	ev := hostileEvent()
	for name, text := range hostileAndStopped {
		t.Run(name, func(t *testing.T) {
			c := newExprCompiler()
			cond, found := c.condition(text)
			if found != nil {
				t.Fatalf("does not compile: %+v", found)
			}
			m := newMachine(c.plan())
			m.ev = ev
			for _, p := range m.plan.paths {
				m.read(p) // bounded by the size of the event, not by the expression
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			m.begin()
			o, why := cond.eval(m)
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			allocated := (after.TotalAlloc - before.TotalAlloc) >> 10
			t.Logf("%v %d KiB, %s %s: %s", took, allocated, o, fmt.Sprint(why), name)
			if why == nil || !strings.HasPrefix(why.msg, "stopped after") {
				t.Errorf("not stopped: %s %v", o, why)
			}
			if took > patience {
				t.Errorf("took %v", took)
			}
			if allocated > 1<<10 && !raced { // the race detector keeps pools from being used again
				t.Errorf("allocated %d KiB", allocated)
			}
		})
	}
}
