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
	// CPURatio is the gateway's CPU time per delivery over reverse_proxy's per request; the cost case only.
	CPURatio float64 `json:"cpu_ratio,omitempty"`
	// P99Ratio is the healthy endpoint's p99 beside a hanging one over its p99 alone; the isolation case only.
	P99Ratio float64 `json:"p99_ratio,omitempty"`
}

func (s sample) line(name string) string {
	return fmt.Sprintf("%-14s %9.0f delivered/s  %7.1f µs CPU each  p50 %7.2f ms  p99 %7.2f ms", name, s.PerSecond, s.CPU, s.P50, s.P99)
}

// print shows the medians and the ratio that the case is about.
func (o options) print(measured []*subject, rounds [][]sample) error {
	r := report{
		Machine: fmt.Sprintf("%s %s/%s, %d processors", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU()),
		Options: o,
		Median:  map[string]sample{},
		Rounds:  map[string][]sample{},
	}
	for i, s := range measured {
		r.Median[s.name], r.Rounds[s.name] = median(rounds[i]), rounds[i]
	}
	var verdict string
	switch o.Case {
	case "isolation":
		r.P99Ratio = r.Median["beside"].P99 / r.Median["alone"].P99
		verdict = fmt.Sprintf("p99 beside an endpoint that never answers ÷ alone: %.2f", r.P99Ratio)
	default:
		r.CPURatio = r.Median["gateway"].CPU / r.Median["reverse_proxy"].CPU
		verdict = fmt.Sprintf("CPU per delivered event ÷ CPU per proxied request: %.2f", r.CPURatio)
	}
	if o.json {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "\t")
		if err := enc.Encode(r); err != nil {
			return fmt.Errorf("printing: %w", err)
		}
		return nil
	}
	fmt.Printf("%s; medians of %d rounds of %s\n", r.Machine, o.Rounds, o.Length)
	for _, s := range measured {
		fmt.Println(r.Median[s.name].line(s.name))
	}
	fmt.Println(verdict)
	return nil
}
