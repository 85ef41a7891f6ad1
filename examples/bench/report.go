package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
)

// report is what -json prints.
type report struct {
	Machine string              `json:"machine"`
	Options options             `json:"options"`
	Median  map[string]sample   `json:"median"`
	Rounds  map[string][]sample `json:"rounds"`
	// Moments are what the gateways held now and then; the hostile case only.
	Moments map[string][]moment `json:"moments,omitempty"`
	// CPURatio is the gateway's CPU time per delivery over reverse_proxy's per request; the cost case only.
	CPURatio float64 `json:"cpu_ratio,omitempty"`
	// P99Ratio is the healthy endpoints' p99 beside others over their p99 alone; not in the cost case.
	P99Ratio float64 `json:"p99_ratio,omitempty"`

	names []string // of the subjects, in order
}

func (o options) report() *report {
	return &report{
		Machine: machine(),
		Options: o,
		Median:  map[string]sample{},
		Rounds:  map[string][]sample{},
		Moments: map[string][]moment{},
	}
}

func machine() string {
	return fmt.Sprintf("%s %s/%s, %d processors", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
}

// add notes rounds of a subject.
func (r *report) add(name string, rounds ...sample) {
	if r.Rounds[name] == nil {
		r.names = append(r.names, name)
	}
	r.Rounds[name] = append(r.Rounds[name], rounds...)
	r.Median[name] = median(r.Rounds[name])
}

func (s sample) line(name string) string {
	line := fmt.Sprintf("%-14s %9.0f delivered/s  %7.1f µs CPU each  p50 %7.2f ms  p99 %7.2f ms  peak %d MB", name, s.PerSecond, s.CPU, s.P50, s.P99, s.PeakRSS>>20)
	if s.Syncs > 0 {
		line += fmt.Sprintf("  %.3f syncs and %.0f bytes written each", s.Syncs, s.Written)
	}
	return line
}

// print shows the medians and the ratio that the case is about.
func (r *report) print() error {
	var verdict string
	switch r.Options.Case {
	case "cost":
		if r.Options.solo {
			break
		}
		r.CPURatio = r.Median["gateway"].CPU / r.Median["reverse_proxy"].CPU
		verdict = fmt.Sprintf("CPU per delivered event ÷ CPU per proxied request: %.2f", r.CPURatio)
	case "isolation":
		r.P99Ratio = r.Median["beside"].P99 / r.Median["alone"].P99
		verdict = fmt.Sprintf("p99 beside an endpoint that never answers ÷ alone: %.2f", r.P99Ratio)
	case "tracing":
		off := r.Median["off"].CPU
		verdict = fmt.Sprintf("CPU per delivered event, traced ÷ untraced: %.3f with one event in a hundred, %.3f with all",
			r.Median["one_percent"].CPU/off, r.Median["all"].CPU/off)
		if other := r.Median["against"].CPU; other > 0 {
			verdict += fmt.Sprintf("; untraced ÷ the other binary: %.3f", off/other)
		}
	case "hostile":
		r.P99Ratio = r.Median["beside"].P99 / r.Median["alone"].P99
		verdict = fmt.Sprintf("p99 beside %d hostile endpoints ÷ alone: %.2f\n%s", r.Options.Hostile, r.P99Ratio, most(r.Moments["beside"]))
	}
	if r.Options.json {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "\t")
		if err := enc.Encode(r); err != nil {
			return fmt.Errorf("printing: %w", err)
		}
		return nil
	}
	fmt.Printf("%s; medians of %d rounds of %s\n", r.Machine, r.Options.Rounds, r.Options.Length)
	for _, name := range r.names {
		fmt.Println(r.Median[name].line(name))
	}
	fmt.Println(verdict)
	return nil
}

// most tells the highest figures of all moments.
func most(moments []moment) string {
	var top moment
	for _, m := range moments {
		top.Goroutines, top.Sockets = max(top.Goroutines, m.Goroutines), max(top.Sockets, m.Sockets)
		top.Peak, top.Held = max(top.Peak, m.Peak), max(top.Held, m.Held)
	}
	return fmt.Sprintf("at most beside them: %d attempts held, %d goroutines, %d sockets, %d MB of memory", top.Held, top.Goroutines, top.Sockets, top.Peak>>20)
}
