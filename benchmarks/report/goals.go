package main

import (
	"fmt"

	"github.com/jitney-go/jitney/benchmarks"
)

// goal is something to be reached: value is to be at most first, and then at most then; 0 is no goal.
type goal struct {
	what        string
	value       float64
	unit        string
	first, then float64
}

func (g goal) met(limit float64) bool { return g.value > 0 && g.value <= limit }

const times = "×"

func (r *results) goals() []goal {
	one := through("1→1", ours)
	bestPeer, bestName := r.bestPeer("libp2p eventbus")
	latency := func(system string) job { return job{"latency", "20,000/s", system} }
	variant := func(name string) job { return job{"variant", "1→1", name} }
	telemetry := func(name string) float64 {
		j := job{"telemetry", "1→1", name}
		return r.median(j, func(o outcome) float64 { return o.Added / o.Bare })
	}
	publishP50 := func(o outcome) float64 { return quantile(o.Publish, 0.5) }
	endP50 := func(o outcome) float64 { return quantile(o.EndToEnd, 0.5) }
	endP99 := func(o outcome) float64 { return quantile(o.EndToEnd, 0.99) }
	goals := []goal{
		{"1→1, to a buffered channel", r.ratio(one, through("1→1", channel), nanoseconds), times, 3, 0},
		{"1→1, to the fastest asynchronous peer but libp2p (" + bestName + ")", r.ratio(one, bestPeer, nanoseconds), times, 1, 0},
		{"1→1, to libp2p", r.ratio(one, through("1→1", "libp2p eventbus"), nanoseconds), times, 0, 1},
		{"1→10, to ten channels", r.ratio(through("1→10", ours), through("1→10", channel), nanoseconds), times, 1.5, 1},
		{"8→1, to our own 1→1", r.ratio(through("8→1", ours), one, nanoseconds), times, 1, 0.5},
		{"8 topics, to our own 1→1", r.ratio(through("8 topics", ours), one, nanoseconds), times, 1, 0.5},
	}
	for _, scenario := range []string{"1→1", "1→10", "8→1", "8 topics"} {
		goals = append(goals, goal{
			scenario + " synchronous, to asaskevich/EventBus",
			r.ratio(through(scenario, oursNow), through(scenario, "asaskevich/EventBus"), nanoseconds), times, 1, 0,
		})
	}
	return append(goals,
		goal{"a call of Publish at 20,000/s, p50, to a channel send", r.median(latency(ours), publishP50) / r.median(latency(channel), publishP50), times, 3, 2},
		goal{"end to end at 20,000/s, p50, to a channel", r.median(latency(ours), endP50) / r.median(latency(channel), endP50), times, 1.2, 1},
		goal{"end to end at 20,000/s, p99, to a channel", r.median(latency(ours), endP99) / r.median(latency(channel), endP99), times, 1.2, 1},
		goal{"allocations when nobody subscribes", r.median(through("nobody", ours), allocs), "", 1.01, 0.01},
		goal{"retry, dead letters, timeout, to bare", r.ratio(variant("retry, dead letters, timeout"), variant("bare"), nanoseconds), times, 1.2, 0},
		goal{"the same and an inbox, to bare", r.ratio(variant("the same and an inbox"), variant("bare"), nanoseconds), times, 1.2, 0},
		goal{"tracing and metrics, never sampled, to the SDK's bare calls", telemetry("never sampled"), times, 1.2, 0},
		goal{"tracing and metrics, sampled, to the SDK's bare calls", telemetry("sampled"), times, 1.2, 0},
		goal{"bytes per queued event, payload included", r.median(job{"queued", "1,000,000", ours}, bytes), "B", 400, 0},
		goal{"1→1 beside 10,000 other subscriptions, to without", r.ratio(variant("10,000 other subscriptions, which hear nothing"), variant("bare"), nanoseconds), times, 1.1, 0},
	)
}

// bestPeer is the fastest asynchronous system at 1→1 but ours and those named.
func (r *results) bestPeer(but ...string) (best job, name string) {
next:
	for _, sys := range benchmarks.Systems() {
		if sys.Kind != benchmarks.Ordered && sys.Kind != benchmarks.Unordered || sys.Name == ours {
			continue
		}
		for _, b := range but {
			if sys.Name == b {
				continue next
			}
		}
		if j := through("1→1", sys.Name); name == "" || r.median(j, nanoseconds) < r.median(best, nanoseconds) {
			best, name = j, sys.Name
		}
	}
	return best, name
}

func quantile(q *benchmarks.Quantiles, at float64) float64 {
	switch {
	case q == nil:
		return 0
	case at == 0.5:
		return q.P50
	case at == 0.99:
		return q.P99
	}
	return q.P999
}

func (g goal) line() string {
	show := func(limit float64) string {
		if limit == 0 {
			return "–"
		}
		verdict := "not met"
		if g.met(limit) {
			verdict = "met"
		}
		return fmt.Sprintf("≤ %s%s: %s", trim(limit), g.unit, verdict)
	}
	return fmt.Sprintf("| %s | %s%s | %s | %s |\n", g.what, trim(g.value), g.unit, show(g.first), show(g.then))
}
