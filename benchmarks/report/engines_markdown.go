package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/jitney-go/jitney/benchmarks"
)

// engineResults is all that was found of engines.
type engineResults struct {
	results
	Size     int64
	Versions map[string]string // of the engines that are there
}

// enough is what a bus is to reach of the client library's figure.
const enough = 0.7

// markdown is the measured part of ENGINES.md.
func (r *engineResults) markdown(there []benchmarks.Engine) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	p("# Engines\n\n")
	p("%s, %s, %s; medians of %s of about %v, in turns, each a process of its own with %d MiB of live\n", r.Machine, r.Go, r.Date, plural(r.Runs, "run"), r.About, r.Heap)
	p("data. `go run ./benchmarks/report -engines` makes this page above its notes. What is compared is a bus on the engine's\n")
	p("journal, and the engine's client library alone, on a stream or topic that the journal has made. Both encode and decode\n")
	p("the event, as %d bytes of JSON, and give each message an ID and the same headers. Every event is counted: what\n", payload())
	p("publishers were told is stored must be there, and must come to the handler once, each publisher's in their order.\n\n")
	p("*End to end* has 64 publishers and one durable consumer, and lasts until the last event has been handled; *catch-up* is\n")
	p("a new consumer of %s events. Ratios are medians of the ratios within each run; the goal is at least %.1f.\n\n", thousands(float64(r.Size)), enough)
	p("| events/s | | client library | Jitney | ratio | |\n|---|---|---:|---:|---:|---|\n")
	for _, e := range there {
		for _, s := range benchmarks.EngineScenarios {
			bare, bus := ofEngine(s, e.Name, true), ofEngine(s, e.Name, false)
			if r.Of[bus.String()] == nil {
				continue
			}
			ratio, verdict := r.ratio(bus, bare, perSecond), "met"
			if ratio < enough {
				verdict = "not met"
			}
			p("| %s | %s | %s | %s | %.2f | %s |\n", e.Name, s, thousands(r.median(bare, perSecond)), thousands(r.median(bus, perSecond)), ratio, verdict)
		}
	}
	p("\n## Versions\n\n| | version |\n|---|---|\n")
	for _, e := range there {
		if version := r.Versions[e.Name]; version != "" {
			p("| %s | %s |\n", e.Name, version)
		}
	}
	for _, module := range []string{"github.com/nats-io/nats.go", "github.com/twmb/franz-go", "github.com/twmb/franz-go/pkg/kfake"} {
		p("| %s | %s |\n", module, r.Modules[module])
	}
	return b.String()
}

func payload() int {
	text, _ := json.Marshal(benchmarks.NewCarried(1, 1)) // it has no field that could fail
	return len(text)
}

// notes is the part of a page that is written by hand.
func notes(page string) string {
	if at := strings.Index(page, notesBegin); at >= 0 {
		return page[at:]
	}
	return ""
}

const notesBegin = "\n## Notes\n"

// matching are the jobs that have only in their name.
func matching(list []job, only string) []job {
	return slices.DeleteFunc(list, func(j job) bool { return !strings.Contains(j.String(), only) })
}
