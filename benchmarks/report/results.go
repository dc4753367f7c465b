package main

import (
	"bufio"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/jitney-go/jitney/benchmarks"
)

// results is all that was found, and where.
type results struct {
	Machine string
	Go      string
	Date    string
	Runs    int
	About   time.Duration
	Heap    int               // MiB
	Modules map[string]string // their versions
	Of      map[string][]outcome
}

func (r *results) describeMachine() {
	r.Machine = processor()
	r.Go = runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
	r.Date = time.Now().UTC().Format(time.DateOnly)
	r.Modules = make(map[string]string)
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			r.Modules[m.Path] = m.Version
		}
	}
}

func processor() string {
	name := "unknown processor"
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
				name = strings.TrimSpace(value)
				break
			}
		}
	}
	return name + ", " + plural(runtime.NumCPU(), "processor")
}

// Parts of an outcome.
func nanoseconds(o outcome) float64 { return o.Nanoseconds }
func allocs(o outcome) float64      { return o.Allocs }
func bytes(o outcome) float64       { return o.Bytes }

// median is the median of a part over the runs; 0 if there is none.
func (r *results) median(j job, part func(outcome) float64) float64 {
	var values []float64
	for _, o := range r.Of[j.String()] {
		values = append(values, part(o))
	}
	return benchmarks.Median(values)
}

// ratio is the median over the runs of a's part to b's in the same run.
func (r *results) ratio(a, b job, part func(outcome) float64) float64 {
	as, bs := r.Of[a.String()], r.Of[b.String()]
	var values []float64
	for i := range min(len(as), len(bs)) {
		if d := part(bs[i]); d > 0 {
			values = append(values, part(as[i])/d)
		}
	}
	return benchmarks.Median(values)
}

func through(scenario, system string) job { return job{"throughput", scenario, system} }

const (
	channel = "buffered channel"
	ours    = "Jitney"
	oursNow = "Jitney, WithSync"
)
