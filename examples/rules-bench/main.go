package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

func main() {
	sizes := flag.String("rules", "10,100,1000,10000", "how many rules, one table line for each number")
	count := flag.Int("events", 1000, "how many events")
	round := flag.Duration("round", 300*time.Millisecond, "how long one engine is measured, three times")
	flag.Parse()
	if err := run(os.Stdout, *sizes, *count, *round); err != nil {
		fmt.Fprintln(os.Stderr, "rules-bench:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, sizes string, count int, round time.Duration) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	header := []string{"rules", "hits"}
	for _, e := range engines {
		header = append(header, e.name)
	}
	if _, err := fmt.Fprintln(table, strings.Join(append(header, "json"), "\t")+"\t"); err != nil {
		return err
	}
	for size := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil || n < 1 {
			return fmt.Errorf("-rules: %q is no number of rules", size)
		}
		line, err := measureAll(n, count, round)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(table, line); err != nil {
			return err
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, "\nµs per event, the best of three rounds. hits: rules satisfied, all events together; the engines agree on each.")
	return err
}

// measureAll returns a line of the table.
func measureAll(n, count int, round time.Duration) (string, error) {
	c := newCorpus(n)
	all, events := c.rules(n), c.events(count)
	var agreed [][]int
	hits, columns := 0, []string{strconv.Itoa(n), ""}
	for _, e := range engines {
		if n > e.most {
			columns = append(columns, "-")
			continue
		}
		m, err := e.load(all)
		if err != nil {
			return "", fmt.Errorf("%s: %w", e.name, err)
		}
		found, err := findAll(m, events)
		if err != nil {
			return "", fmt.Errorf("%s: %w", e.name, err)
		}
		if agreed == nil {
			agreed = found
		}
		for i := range found {
			if !slices.Equal(found[i], agreed[i]) {
				return "", fmt.Errorf("%s finds %v for event %d, %s finds %v", engines[0].name, agreed[i], i, e.name, found[i])
			}
		}
		columns = append(columns, micros(best(events, round, func(e *event) { _, _ = m(e) }))) // did not fail before
	}
	for _, f := range agreed {
		hits += len(f)
	}
	decode := best(events, round, func(e *event) {
		var data any
		_ = json.Unmarshal(e.Data, &data) // it is JSON
	})
	columns[1] = strconv.Itoa(hits)
	return strings.Join(append(columns, micros(decode)), "\t") + "\t", nil
}

func findAll(m matcher, events []event) ([][]int, error) {
	out := make([][]int, len(events))
	for i := range events {
		hits, err := m(&events[i])
		if err != nil {
			return nil, err
		}
		out[i] = slices.Clone(hits)
	}
	return out, nil
}

// best returns the shortest time per event of three rounds.
func best(events []event, round time.Duration, do func(*event)) time.Duration {
	shortest := time.Duration(1<<63 - 1)
	for range 3 {
		start, n := time.Now(), 0
		for took := time.Duration(0); took < round; took = time.Since(start) {
			for range 10 { // so that looking at the clock costs nothing
				do(&events[n%len(events)])
				n++
			}
		}
		shortest = min(shortest, time.Since(start)/time.Duration(n))
	}
	return shortest
}

func micros(d time.Duration) string { return fmt.Sprintf("%.3g", float64(d)/float64(time.Microsecond)) }
