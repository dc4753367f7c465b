package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/jitney-go/jitney/benchmarks"
)

// markdown is RESULTS.md.
func (r *results) markdown(goals []goal) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	p("# Results\n\n")
	p("%s, %s, %s; medians of %s of about %v, in turns, each a process of its own with %d MiB of live\n", r.Machine, r.Go, r.Date, plural(r.Runs, "run"), r.About, r.Heap)
	p("data. `go run ./benchmarks/report` makes this page. Compare within it: absolute figures are this machine's.\n\n")
	p("![time per event](chart.svg)\n\n")

	p("## Time per event published, ns\n\n")
	p("The clock stops when every subscriber has handled every event. In brackets: times a buffered channel.\n")
	p("ʳ: a subscriber saw a publisher's events out of order; ˡ: events were lost.\n\n")
	p("| system |")
	for _, s := range benchmarks.Scenarios {
		p(" %s |", s.Name)
	}
	p(" allocs 1→1 | leaves out |\n|---|%s---:|---|\n", strings.Repeat("---:|", len(benchmarks.Scenarios)))
	kind := benchmarks.Kind(-1)
	for _, sys := range benchmarks.Systems() {
		if sys.Kind != kind {
			kind = sys.Kind
			p("| *%s* |%s | |\n", kind, strings.Repeat(" |", len(benchmarks.Scenarios)))
		}
		name := sys.Name
		if strings.HasPrefix(name, ours) {
			name = "**" + name + "**"
		}
		p("| %s |", name)
		for _, s := range benchmarks.Scenarios {
			p(" %s |", r.cell(sys, s))
		}
		p(" %s | %s |\n", trim(r.median(through("1→1", sys.Name), allocs)), sys.Lacks)
	}

	p("\n## The same with no other live data, ns\n\n")
	p("Above, each process has %d MiB of live data, as a service would. In one that has none, Go's collector runs as soon\n", r.Heap)
	p("as 4 MiB have been allocated, some hundred times as often; an envelope per event costs much more there.\n\n")
	p("| system |")
	for _, s := range alone {
		p(" %s | times a channel |", s)
	}
	p("\n|---|%s\n", strings.Repeat("---:|---:|", len(alone)))
	for _, sys := range aloneSystems {
		p("| %s |", sys)
		for _, s := range alone {
			j := job{"alone", s, sys}
			p(" %.0f | %s |", r.median(j, nanoseconds), trim(r.ratio(j, job{"alone", s, channel}, nanoseconds)))
		}
		p("\n")
	}

	p("\n## Latency at 20,000 events/s, µs\n\n")
	p("The publisher does not sleep between two events. A subscriber that has nothing to do has to be woken.\n\n")
	p("| system | Publish p50 | p99 | p99.9 | end to end p50 | p99 | p99.9 |\n|---|---:|---:|---:|---:|---:|---:|\n")
	for _, sys := range benchmarks.Systems() {
		j := job{"latency", "20,000/s", sys.Name}
		if len(r.Of[j.String()]) == 0 {
			continue
		}
		p("| %s |", sys.Name)
		for _, of := range []func(outcome) *benchmarks.Quantiles{
			func(o outcome) *benchmarks.Quantiles { return o.Publish }, func(o outcome) *benchmarks.Quantiles { return o.EndToEnd },
		} {
			for _, at := range []float64{0.5, 0.99, 0.999} {
				p(" %s |", trim(r.median(j, func(o outcome) float64 { return quantile(of(o), at) })/1e3))
			}
		}
		p("\n")
	}

	p("\n## Memory of a queued event, bytes\n\n")
	p("One million wait while the handler stands still; the payload's 64 bytes are included. All are handled after.\n\n")
	p("| system | bytes |\n|---|---:|\n")
	for _, sys := range benchmarks.Systems() {
		if sys.Queues {
			p("| %s | %.0f |\n", sys.Name, r.median(job{"queued", "1,000,000", sys.Name}, bytes))
		}
	}

	p("\n## Jitney with more to do, 1→1\n\n| | ns | times bare | allocs |\n|---|---:|---:|---:|\n")
	for _, v := range benchmarks.Variants() {
		j := job{"variant", "1→1", v.Name}
		p("| %s | %.0f | %s | %s |\n", v.Name, r.median(j, nanoseconds), trim(r.ratio(j, job{"variant", "1→1", "bare"}, nanoseconds)), trim(r.median(j, allocs)))
	}
	p("\nThe SDK's bare calls are two spans, one measurement and two counters; Jitney's counters are read by callback.\n")
	p("\n| telemetry, one synchronous subscriber | the SDK's bare calls, ns | what Jitney adds, ns |\n|---|---:|---:|\n")
	for _, name := range []string{"never sampled", "sampled"} {
		j := job{"telemetry", "1→1", name}
		p("| %s | %.0f | %.0f |\n", name, r.median(j, func(o outcome) float64 { return o.Bare }), r.median(j, func(o outcome) float64 { return o.Added }))
	}

	p("\n## Goals\n\nRatios are medians of the ratios within each run; those of latencies are ratios of the medians.\n\n| | | first | then |\n|---|---:|---|---|\n")
	for _, g := range goals {
		b.WriteString(g.line())
	}

	p("\n## Versions\n\n| module | version |\n|---|---|\n")
	seen := make(map[string]bool)
	for _, sys := range benchmarks.Systems() {
		if sys.Module != "" && !seen[sys.Module] {
			seen[sys.Module] = true
			version := r.Modules[sys.Module]
			if sys.Module == "github.com/jitney-go/jitney" {
				version = "this commit"
			}
			p("| %s | %s |\n", sys.Module, version)
		}
	}
	p("\nkelindar/event, maniartech/signals, mustafaturan/bus, jilio/ebu and stanipetrosyan/go-eventbus are missing\nbecause the module proxy that this was made with does not have them.\n")
	return b.String()
}

// cell is the time of one system in one scenario, with what has to be said beside it.
func (r *results) cell(sys benchmarks.System, s benchmarks.Scenario) string {
	j := through(s.Name, sys.Name)
	text := fmt.Sprintf("%.0f (%s)", r.median(j, nanoseconds), trim(r.ratio(j, through(s.Name, channel), nanoseconds)))
	for _, mark := range []struct {
		sign string
		of   func(outcome) float64
	}{
		{"ʳ", func(o outcome) float64 { return float64(o.Reordered) }},
		{"ˡ", func(o outcome) float64 { return float64(o.Lost) }},
	} {
		if r.sum(j, mark.of) > 0 {
			text += mark.sign
		}
	}
	return text
}

func (r *results) sum(j job, part func(outcome) float64) (sum float64) {
	for _, o := range r.Of[j.String()] {
		sum += part(o)
	}
	return sum
}

// trim shows two digits after the point if they say something.
func trim(x float64) string {
	switch {
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return strconv.FormatFloat(float64(int(x*10+0.5))/10, 'f', -1, 64)
	}
	return strconv.FormatFloat(float64(int(x*100+0.5))/100, 'f', -1, 64)
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
