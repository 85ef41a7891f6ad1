//go:build ignore

// Mutants shows that the randomized test of the rules' index can fail: it puts
// one mistake after the other into a copy of its source and wants the test to
// notice each. Run at the root of the repository:
//
//	go run .ci/mutants.go [part of a mistake's description]
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// mutant is one mistake: what stands once in the file becomes what is put.
type mutant struct {
	file, what, stands, put string
}

var mutants = []mutant{
	{"access.go", "an or is indexed by those of its parts that can be", "more := cluesOf(&c.parts[i])\n\t\t\tif more == nil || len", "more := cluesOf(&c.parts[i])\n\t\t\tif len"},
	{"access.go", "a negation is indexed like what it negates", "if c.negated {\n\t\treturn clues", "if c.negated && c == nil {\n\t\treturn clues"},
	{"access.go", "a negation within a negated or is taken for what it negates", "if c.parts[i].negated {\n\t\t\t\tcontinue", "if c.parts[i].negated && c == nil {\n\t\t\t\tcontinue"},
	{"access.go", "a negation within a negated and is taken for what it negates", "if c.parts[i].negated {\n\t\t\t\treturn nil", "if c.parts[i].negated && c == nil {\n\t\t\t\treturn nil"},
	{"access.go", "a negated and is indexed by those of its parts that can be", "more := cluesUnlessTrue(&c.parts[i])\n\t\t\tif more == nil || len", "more := cluesUnlessTrue(&c.parts[i])\n\t\t\tif len"},
	{"access.go", "a negated limit is not held by what is missing", "num: a.num.f}, nothing}\n\tcase greater", "num: a.num.f}}\n\tcase greater"},
	{"access.go", "a negated limit is indexed as the limit", "case less, lessOrEqual:\n\t\treturn clues{{on: a.path, kind: isAbove, num: a.num.f}, nothing}", "case less, lessOrEqual:\n\t\treturn clues{{on: a.path, kind: isBelow, num: a.num.f}, nothing}"},
	{"access.go", "less is indexed as greater", "kind: isBelow, num: a.num.f}}\n", "kind: isAbove, num: a.num.f}}\n"},
	{"access.go", "the numbers of a list are left out", "for _, n := range a.nums {", "for _, n := range a.nums[:0] {"},
	{"access.go", "a ? in a glob is taken literally at its start", "strings.IndexAny(pattern, `*?\\`)", "strings.IndexAny(pattern, `*\\`)"},
	{"access.go", "a ? in a glob is taken literally at its end", "strings.LastIndexAny(pattern, `*?`)", "strings.LastIndexAny(pattern, `*`)"},
	{"access.go", "an escape in a glob is taken literally", "strings.IndexAny(pattern, `*?\\`)", "strings.IndexAny(pattern, `*?`)"},
	{"access.go", "fields of the event can be absent", "if a.path.field != fieldNone {\n\t\treturn nil", "if a.path.field > fieldTimestamp {\n\t\treturn nil"},
	{"access.go", "a pattern of types is taken for a type", "c.kind = startsText", "c.kind = isText"},
	{"access.go", "only the first environment is indexed", "range s.environments {", "range s.environments[:1] {"},
	{"funcs.go", "the start of a regular expression is found in any case", "l.Flags&syntax.FoldCase != 0", "l.Flags&syntax.FoldCase > 1<<15"},
	{"funcs.go", "a regular expression need not begin at the beginning", "re.Sub[0].Op != syntax.OpBeginText", "re.Sub[0].Op == syntax.OpNoMatch"},
	{"match.go", "a value of another type is passed by where a start is wanted", "m.all(&o.starts.nodes)\n\t\tm.all(&o.ends.nodes)\n\t\tm.needles", "m.all(&o.ends.nodes)\n\t\tm.needles"},
	{"match.go", "a value of another type is passed by where a limit is set", "m.bounds(o.above)\n\t\tm.bounds(o.below)\n\t}\n\tif v.kind == kindBool", "m.bounds(o.below)\n\t}\n\tif v.kind == kindBool"},
	{"match.go", "a value of another type is passed by where true is wanted", "} else {\n\t\tm.walk(o.set)\n\t}", "}"},
	{"match.go", "a value of another type is passed by where a list is wanted", "if !isList {\n\t\tm.all(&l.nodes)\n\t\treturn", "if !isList {\n\t\treturn"},
	{"match.go", "a broken payload holds no clues", "m.everything(b) //", "//"},
	{"match.go", "numbers of a broken payload hold no clues", "o.numbers.all(func(_ float64, n *node) bool {\n\t\tm.walk(n)\n\t\treturn true\n\t})", ""},
	{"match.go", "an absent value holds no clue", "m.walk(o.nothing)\n\t\treturn", "return"},
	{"match.go", "a value that is there holds no clue", "m.walk(o.there)\n", ""},
	{"match.go", "a limit is not part of its range, from below", "limit > v })", "limit >= v })"},
	{"match.go", "a limit is not part of its range, from above", "o.below[o.below.from(v):]", "o.below[min(len(o.below), o.below.from(v)+1):]"},
	{"match.go", "a text does not start with itself", "for _, n := range o.starts.lengths {\n\t\tif n > len(s)", "for _, n := range o.starts.lengths {\n\t\tif n >= len(s)"},
	{"match.go", "ends are looked for at the start", "o.ends.nodes.get(s[len(s)-n:])", "o.ends.nodes.get(s[:n])"},
	{"match.go", "a value of another type is passed by where a part is wanted", "m.needles(o.inside)\n\t}\n\tif v.kind == kindNumber", "}\n\tif v.kind == kindNumber"},
	{"match.go", "parts of texts in a broken payload hold no clues", "m.needles(o.inside)\n\to.numbers", "o.numbers"},
	{"match.go", "what is true does not satisfy a flag", "m.walk(o.truths[1])\n\t\tm.walk(o.set)", "m.walk(o.truths[1])"},
	{"match.go", "a rule met twice is true twice", "m.hits = slices.CompactFunc", "_ = slices.CompactFunc"},
	{"match.go", "rules come in the order of the index", "slices.SortFunc(m.hits,", "slices.SortFunc(m.hits[:0],"},
	{"match.go", "a list overwrites those that led to it", "texts, start := m.machine.textsOf(l.each), len(m.texts)", "texts, start := m.machine.textsOf(l.each), 0\n\tm.texts = m.texts[:0]"},
	{"match.go", "all of a list but the first text is passed by", "for _, s := range texts {", "for _, s := range texts[:min(1, len(texts))] {"},
	{"index.go", "a rule with a single clue never holds", "return len(cs) == 0 })\n}", "return len(cs) <= 1 })\n}"},
	{"index.go", "rules without clues are forgotten", "n.rules = append(n.rules, fs[i].leaf())", "if !hard {\n\t\t\t\tn.rules = append(n.rules, fs[i].leaf())\n\t\t\t}"},
	{"index_build.go", "a rule is filed below the first of its clues only", "for _, c := range f.sets[set] {", "for _, c := range f.sets[set][:1] {"},
	{"index_build.go", "the lengths of starts are not noted", "a.note(len(texts[i].key))", "a.note(len(texts[i].key) + 1)"},
	{"index_change.go", "a new rule is filed below the first of its clues only", "for i, c := range f.sets[set] {", "for i, c := range f.sets[set][:1] {"},
	{"index_change.go", "taking a rule out changes the set before", "append(slices.Clone(n.rules[:i]), n.rules[i+1:]...)", "append(n.rules[:i], n.rules[i+1:]...)"},
	{"index_change.go", "a rule is taken out from below the first of its clues only", "for _, c := range f.sets[set] {\n\t\t\tif c.on", "for _, c := range f.sets[set][:1] {\n\t\t\tif c.on"},
	{"index_change.go", "a rule is taken out from below the first set of clues only", "for set := range f.sets {\n\t\tif", "for set := range f.sets {\n\t\tif !found &&"},
	{"index_change.go", "putting a limit in changes the set before", "slices.Insert(slices.Clone(*bs),", "slices.Insert((*bs)[:len(*bs):cap(*bs)],"},
	{"index_change.go", "the length of a new start is not noted", "if child != nil {\n\t\ta.note", "if child == nil {\n\t\ta.note"},
	{"index_change.go", "a rarer branch is changed in place", "o := others{}\n\tif b.others != nil {\n\t\to = *b.others\n\t}", "if b.others != nil {\n\t\treturn b.others\n\t}\n\to := others{}"},
	{"index_change.go", "a node split once more loses its new branches", "out.branches = append(slices.Clip(n.branches), again.branches...)", "_ = again.branches"},
	{"index_change.go", "a table is changed in place", "b.texts = set(b.texts, c.text, child)\n\t\treturn b", "if b.texts.root != nil && child != nil {\n\t\t\tb.texts.root.slots[0].value = child\n\t\t}\n\t\tb.texts = set(b.texts, c.text, child)\n\t\treturn b"},
	{"needle.go", "a text has no more letters than its part", "l[0]&^other[0]|l[1]&^other[1] == 0", "l == other"},
	{"needle.go", "the letters of a long text are those of its beginning", "return letters{^uint64(0), ^uint64(0)}", "s = s[:manyLetters]"},
	{"needle.go", "a new part of a text takes the place of another", "out = slices.Insert(out, i, newNeedle(text, child))", "out = append(out[:i], newNeedle(text, child))"},
	{"needle.go", "taking a part of a text out changes the set before", "out := slices.Clone(ns)", "out := ns"},
	{"renew.go", "a rule that changes its place keeps its number", "if r != nil && !stays[i] {", "if r != nil && !stays[i] && i < 0 {"},
	{"renew.go", "a route that is gone stays in the index", "if !r.route.otherwise {\n\t\t\ts.unfile(r)\n\t\t}", "if r.route.otherwise {\n\t\t\ts.unfile(r)\n\t\t}"},
	{"renew.go", "a rule between two others comes after both", "gap = (rules[next].order - after) / uint64(next-i+1)", "gap = step"},
	{"renew.go", "a route that says something else is taken over", "r.when.Text == c.When.Text && r.pick", "r.pick"},
	{"renew.go", "a subscription that says something else is taken over", "s.tenant == c.Tenant && s.when.Text == c.When.Text", "s.tenant == c.Tenant"},
	{"renew.go", "subscriptions of an endpoint that has others are forgotten", "if len(left) == 0 {", "if len(left) <= 1 {"},
	{"placement.go", "a rule is shown where it stood before", "if r.placement() != to {", "if r.placement() == to {"},
	{"table.go", "a key taken out is still marked as there", "has: n.has &^ bit", "has: n.has"},
	{"table.go", "two keys with one beginning of a hash become one", "below, _ = below.with(keyHash(s.key), shift+levelBits, s.key, s.value)\n", ""},
	{"extract.go", "of a repeated name the first value's parts stay", "x.m.forget(w) //", "//"},
	{"extract.go", "of a repeated name in a list both texts count", "x.m.truncate(m.slot, marks[i])\n", "_ = i\n"},
	{"scan.go", "a string ends at an escaped quote", "s.i += n\n\t\tdefault: // a control", "s.i++\n\t\tdefault: // a control"},
	{"gather.go", "atoms that are copied are all the first", "c.atom = &g.atoms[len(g.atoms)-1]", "c.atom = &g.atoms[0]"},
}

// patience is how long the test looks for one mistake: the rarest took a minute on a busy machine.
const patience = 3 * time.Minute

func main() {
	survived, err := run(strings.Join(os.Args[1:], " "))
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
	if survived > 0 {
		fmt.Fprintf(os.Stderr, "mutants: %d mistakes were not noticed\n", survived)
		os.Exit(1)
	}
}

func run(only string) (survived int, err error) {
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a directory left behind
	tried := 0
	for _, m := range mutants {
		if !strings.Contains(m.what, only) {
			continue
		}
		tried++
		start := time.Now()
		noticed, err := m.noticed(dir)
		if err != nil {
			return survived, fmt.Errorf("%s: %w", m.what, err)
		}
		verdict := "noticed"
		if !noticed {
			verdict = "NOT NOTICED"
			survived++
		}
		fmt.Printf("%-11s %6.1fs  %-16s %s\n", verdict, time.Since(start).Seconds(), m.file, m.what)
	}
	fmt.Printf("%d of %d mistakes noticed\n", tried-survived, tried)
	return survived, nil
}

// noticed reports whether the test fails with the mistake in it. The mistake
// must compile.
func (m *mutant) noticed(dir string) (bool, error) {
	path := filepath.Join("rules", m.file)
	source, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	if n := bytes.Count(source, []byte(m.stands)); n != 1 {
		return false, fmt.Errorf("%q stands in %s %d times", m.stands, path, n)
	}
	mutated := filepath.Join(dir, m.file)
	if err := os.WriteFile(mutated, bytes.Replace(source, []byte(m.stands), []byte(m.put), 1), 0o600); err != nil {
		return false, err
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return false, err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{absolute: mutated}})
	if err != nil {
		return false, err
	}
	list, binary := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "rules.test")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		return false, err
	}
	if out, err := exec.Command("go", "test", "-c", "-vet=off", "-overlay", list, "-o", binary, "./rules").CombinedOutput(); err != nil {
		return false, fmt.Errorf("%w\n%s", err, out)
	}
	for _, tests := range []string{"^TestLists.*$", "^TestMatchDecidesAsEveryRuleByItself$"} { // what needs no luck first
		failed, err := fails(binary, tests)
		if failed || err != nil {
			return failed, err
		}
	}
	return false, nil
}

// fails reports whether one of the tests fails.
func fails(binary, tests string) (bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	test := exec.CommandContext(ctx, binary, "-test.run", tests)
	test.Dir = "rules"
	test.Env = append(os.Environ(), "DIFFERENTIAL="+patience.String())
	err := test.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode() > 0, nil
	}
	return false, err
}
