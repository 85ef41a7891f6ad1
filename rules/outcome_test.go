package rules

import (
	"fmt"
	"testing"
)

// byOutcome is an expression for each outcome, on the expr machine and off it.
var byOutcome = map[outcome][]string{
	isTrue:    {"true", "data.yes", "lower(data.text) == 'abc'"},
	isFalse:   {"false", "data.no", "lower(data.text) == 'x'"},
	isMissing: {"data.absent > 1", "data.absent", "lower(data.absent) == 'x'"},
	isError:   {"data.text > 1", "data.text", "lower(data.n) == 'x'"},
}

func TestAndOrNotCombineTheFourOutcomes(t *testing.T) {
	t.Parallel()
	const f, tr, m, e = isFalse, isTrue, isMissing, isError
	type pair struct{ a, b outcome }
	ands := map[pair]outcome{
		{f, f}: f, {f, tr}: f, {f, m}: f, {f, e}: f,
		{tr, tr}: tr, {tr, m}: m, {tr, e}: e,
		{m, m}: m, {m, e}: m,
		{e, e}: e,
	}
	ors := map[pair]outcome{
		{f, f}: f, {f, tr}: tr, {f, m}: m, {f, e}: e,
		{tr, tr}: tr, {tr, m}: tr, {tr, e}: tr,
		{m, m}: m, {m, e}: e,
		{e, e}: e,
	}
	check := func(text string, want outcome) {
		t.Helper()
		if got, _ := evaluate(t, text); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
	for p, want := range ands {
		for i, a := range byOutcome[p.a] {
			for _, b := range byOutcome[p.b] {
				check(fmt.Sprintf("(%s) and (%s)", a, b), want)
				check(fmt.Sprintf("(%s) && (%s)", b, a), want)
			}
			check(fmt.Sprintf("not (%s and (%s))", a, byOutcome[p.b][i]), [4]outcome{f: tr, tr: f, m: m, e: e}[want])
		}
	}
	for p, want := range ors {
		for _, a := range byOutcome[p.a] {
			for _, b := range byOutcome[p.b] {
				check(fmt.Sprintf("(%s) or (%s)", a, b), want)
				check(fmt.Sprintf("(%s) || (%s)", b, a), want)
			}
		}
	}
}

func TestTheReportedErrorIsOneThatDecided(t *testing.T) {
	t.Parallel()
	// The first part fails too, but its failure is ruled out by false.
	o, msg := evaluate(t, "(data.text > 1 and data.no) or data.n startsWith 'x'")
	if o != isError || msg != "expected string, got int" {
		t.Errorf("got %s, %q", o, msg)
	}
}

// TestOutcomesOfAtoms is the manual's table of missing and wrong types.
func TestOutcomesOfAtoms(t *testing.T) {
	t.Parallel()
	const f, tr, m, e = isFalse, isTrue, isMissing, isError
	for text, want := range map[string]outcome{
		// A missing member, and what follows from it.
		"data.absent == 'a'": f, "data.absent != 'a'": tr, "data.absent == nil": tr, "data.null == nil": tr,
		"data.absent > 3": m, "3 < data.absent": m, "data.absent in ['a']": f, "data.absent not in ['a']": tr,
		"data.absent startsWith 'a'": f, "data.absent contains 'a'": f, "data.absent endsWith 'a'": f,
		"data.absent matches '^a'": f, "'a' in data.absent": f, "data.absent": m, "not data.absent": m,
		"data.absent + 1 > 2": m, "lower(data.absent) == 'a'": m, "len(data.absent) > 1": m,
		"any(data.absent, # == 1)": m, "data.absent ? true : false": m, "-data.absent < 0": m,
		// Every way into the payload is total.
		"data.absent.deeper.still == 1": f, "data.text.member == nil": tr, "data.null.member == nil": tr,
		"data.items[7] == nil": tr, "data.items[-1].sku == 'b2'": tr, "data.items[-3] == nil": tr,
		"data.items.member == nil": tr, "data.obj[0] == nil": tr, "data.text[0] == nil": tr,
		"data?.absent?.x == nil": tr, "data['text'] == 'abc'": tr, "data.obj[data.absent] == nil": tr,
		"data.obj[data.n] == nil": tr, "data.items[data.half] == nil": tr, "data.tags[data.zero] == 'x'": tr,
		"get(data.obj, 'a') == 2": tr, "first(data.items).sku == 'a1'": tr, "last(data.text) == nil": tr,
		"(let x = data.absent; x.y.z) == nil": tr, "filter(data.items, .qty > 9)[0].sku == 'x'": f,
		"any(data.items, .deep.er == 'x')": f, "split(data.text, 'b')[1] == 'c'": tr, "data[0].x == nil": tr,
		// Another type.
		"data.n == 'a'": f, "data.n != 'a'": tr, "data.text > 3": e, "data.text.y > 1": m, "data.text == 3": f,
		"data.n in ['a']": f, "data.n startsWith 'a'": e, "data.n contains 'a'": e, "data.n matches 'a'": e,
		"data.obj matches 'a'": e, "'a' in data.text": e, "1 in data.obj": e, "data.text": e, "not data.n": e,
		"lower(data.n) == 'a'": e, "any(data.text, # == 'a')": e, "all(data.obj, false)": e, "data.yes > 1": e,
		"data.text + 1 == 2": e, "int(data.text) > 1": e, "data.n % data.zero == 1": e,
		// A failure that missing values cannot explain stays an error.
		"(data.absent ?? 0) > data.text": e, "has(data.absent) ? true : data.text > 1": e,
		"any(data.odd, .kind == 'x' or .qty > 3)": e, "data.absent == data.n ? true : data.text > 1": e,
		"any(data.odd, .kind contains 'x' or .kind matches 'x' or 'x' in .kind or .kind in data.tags or .qty > 3)": e,
		"any(data.mixed, (.qty ?? 0) > 3)": tr, "any(data.mixed, .qty > 3)": m,
		// Numbers are exact.
		"data.big == 9007199254740993": tr, "data.big == 9007199254740992": f, "data.n == 5.0": tr, "data.half == 1.5": tr,
		"data.half > 1": tr, "data.n >= 5 and data.n <= 5 and data.n < 6 and data.n > 4": tr, "1 < data.n < 6": tr,
		"-1 < data.n": tr, "data.n > -1.5": tr, "5 == data.n": tr, "data.big - 1 == 9007199254740992": tr,
		// Strings, lists, objects.
		"event.type startsWith 'label.'": tr, "event['type'] == 'label.created'": tr, "event.tenant == ''": tr,
		"'x' in data.tags": tr, "'z' in data.tags": f, "'a' in data.obj": tr, "data.absent in data.obj": f,
		"data.tags == ['x', 'y']": tr, "data.obj == {'a': 2, 'b': 1}": tr, "data.yes == true": tr, "data.no == true": f,
		"data.empty == ''": tr, "{'abc': 'yes'}[data.text] == 'yes'": tr, "data.text[0:2] == 'ab'": tr,
		"keys(data.obj)[0] == 'a' and values(data.obj)[0] == 2": tr, "join(data.tags, '-') == 'x-y'": tr,
		"replace(data.text, 'b', '') == 'ac'": tr, "replace('aaa', 'a', 'b', 2) == 'bba'": tr,
		"trim(' a ') == 'a' and trim('xax', 'x') == 'a'": tr, "sum(data.items, .qty) == 5": tr,
		"count(data.items, .qty > 1) == 1": tr, "all(data.none, false)": tr, "data.text | upper() == 'ABC'": tr,
		"map(data.items, .sku) == ['a1', 'b2']": tr, "len(concat(data.tags, data.tags)) == 4": tr,
		"(let t = data.text; t + t) == 'abcabc'": tr, "data.tags in [['x', 'y']]": tr, "data.text in split('abc d', ' ')": tr,
		"if data.yes { true } else { false }": tr, "data.items[0].qty in [1, 2]": tr, "max(data.n, 7) == 7": tr,
		// Our functions give missing for missing.
		"has(data.text)": tr, "has(data.absent)": f, "has(data.null)": f, "has(data.empty)": tr, "not has(data.a.b.c)": tr,
		"has(event.tenant)": f, "has(event.type)": tr, "any(data.mixed, has(.qty))": tr, "has(data.items[0].sku)": tr,
		"glob('a*', data.text)": tr, "glob('b*', data.text)": f, "glob('a*', data.absent)": m, "glob('a*', data.n)": e,
		"glob('label.*', event.type)": tr, "not glob('a*', data.absent)": m, "glob('?b?', lower(data.text))": tr,
		"cidr(data.ip, '10.0.0.0/8')": tr, "cidr(data.ip, '10.2.0.0/16', '10.1.0.0/16')": tr, "cidr(data.ip, '10.2.0.0/16')": f,
		"cidr(data.ip6, '10.0.0.0/8')": tr, "cidr(data.absent, '10.0.0.0/8')": m, "cidr(data.text, '10.0.0.0/8')": e,
		"cidr(data.n, '10.0.0.0/8')": e, "semver(data.version, '>=1.2')": tr, "semver(data.version, '>=1.2, <1.3')": f,
		"semver(data.absent, '>=1.2')": m, "semver(data.text, '>=1.2')": e, "semver(data.n, '>=1.2')": e,
		"hash(data.text, 1000) == 74": tr, "hash(data.n, 7) == hash('5', 7)": tr, "hash(data.absent, 10) == 1": f,
		"hash(data.half, 10) == 1": e, "hash(data.text, data.zero) == 1": e, "hash(data.text, data.half) == 1": e,
	} {
		if got, msg := evaluate(t, text); got != want {
			t.Errorf("%s: got %s %s, want %s", text, got, msg, want)
		}
	}
}
