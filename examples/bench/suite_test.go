package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestCasesRunOneByOneMakeOneReport(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := results{Machine: "a machine", Date: "2026-11-30"}
	first.put(outcome{Case: "batch", Title: "batches", Ratio: 0.5})
	first.put(outcome{Case: "single", Title: "singles", Ratio: 1.5})
	if err := first.save(dir); err != nil {
		t.Fatal(err)
	}
	second := results{Machine: "a machine", Date: "2026-12-01"}
	if err := second.load(dir); err != nil {
		t.Fatal(err)
	}
	second.put(outcome{Case: "batch", Title: "batches", Ratio: 0.4})
	var found []string
	for _, c := range second.Cases {
		found = append(found, c.Case)
	}
	if got := strings.Join(found, " "); got != "single batch" || second.Cases[1].Ratio != 0.4 {
		t.Errorf("%s, with a ratio of %v for batches", got, second.Cases[1].Ratio)
	}
	other := results{Machine: "another machine"}
	if err := other.load(dir); err != nil || len(other.Cases) > 0 {
		t.Errorf("another machine's results are taken for its own: %v (%v)", other.Cases, err)
	}
}

func TestThePlotIsWellFormedAndTellsEachRatio(t *testing.T) {
	t.Parallel()
	r := results{Machine: "a <machine> & more", Date: "2026-11-30", Cases: []outcome{{Title: "one & only", Ratio: 0.75}, {Title: "another", Ratio: 1.25}}}
	var b strings.Builder
	if err := r.plot(&b); err != nil {
		t.Fatal(err)
	}
	in := xml.NewDecoder(strings.NewReader(b.String()))
	var text []string
	for {
		token, err := in.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, b.String())
		}
		if chars, ok := token.(xml.CharData); ok {
			text = append(text, string(chars))
		}
	}
	for _, want := range []string{"one & only", "another", "0.75", "1.25", "2026-11-30, a <machine> & more; shorter is better"} {
		if !strings.Contains(strings.Join(text, "\n"), want) {
			t.Errorf("no %q in %q", want, text)
		}
	}
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	good := options{Case: "all", Rounds: 1, Connections: 64, Batch: 1, Endpoints: 1, Hostile: 1, Backlog: backlogBatch}
	if o := good; o.check() != nil {
		t.Fatal(o.check())
	}
	for name, change := range map[string]func(*options){
		"a case that is none":            func(o *options) { o.Case = "single,quick" },
		"no rounds":                      func(o *options) { o.Rounds = 0 },
		"a batch too large for ingest":   func(o *options) { o.Batch = 1001 },
		"a spread and a fan-out":         func(o *options) { o.Spread, o.Endpoints = 10, 2 },
		"failures without healthy ones":  func(o *options) { o.Failing, o.Spread = true, 3 },
		"more endpoints than are served": func(o *options) { o.Spread = 1001 },
	} {
		o := good
		change(&o)
		if o.check() == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
