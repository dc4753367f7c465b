// Report runs every system through every scenario, in turns, each measurement in a process of its own, and
// writes what it found as a table and a chart.
//
//	go run ./benchmarks/report             # from the repository's root; about ten minutes
//	go run ./benchmarks/report -runs 1     # a first look
//	go run ./benchmarks/report -journal    # what journals do: benchmarks/JOURNAL.md
//	go run ./benchmarks/report -engines    # what engines do: benchmarks/ENGINES.md
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/jitney-go/jitney/benchmarks"
)

func main() {
	runs := flag.Int("runs", 5, "how often each measurement is made; medians are shown")
	about := flag.Duration("about", 400*time.Millisecond, "how long a measurement lasts, about")
	out := flag.String("out", "benchmarks", "the folder to write RESULTS.md, results.json and chart.svg to")
	only := flag.String("only", "", "measure only what has this in its name, and write nothing")
	heap := flag.Int("heap", 64, "MiB of live data in each process")
	from := flag.String("from", "", "measure nothing, and write table and chart from this results.json")
	check := flag.Bool("check", false, "end with status 1 if a first goal is not met")
	profile := flag.String("cpuprofile", "", "with -child: the file to write a CPU profile to")
	child := flag.String("child", "", "make one measurement and print it as JSON (what report starts)")
	flag.Parse()

	var err error
	switch {
	case *child != "":
		err = profiled(*profile, func() error { return measure(*child, *about, *heap) })
	case *from != "":
		err = again(*from, *out, *check)
	case *journal:
		err = reportJournal(*runs, *about, *heap, *out)
	case *engines:
		err = reportEngines(*runs, *about, *heap, *out, *only)
	default:
		err = report(*runs, *about, *heap, *out, *only, *check)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

// job is one measurement: what/where/of.
type job struct{ kind, scenario, system string }

func (j job) String() string { return strings.Join([]string{j.kind, j.scenario, j.system}, "|") }

// jobs is all of one turn.
func jobs() (list []job) {
	for i, s := range benchmarks.Scenarios {
		for _, sys := range benchmarks.Systems() {
			list = append(list, job{"throughput", s.Name, sys.Name})
		}
		if i%2 == 0 { // one stall of the machine makes a p99: those that are compared are measured often
			list = append(list, job{"latency", "20,000/s", channel}, job{"latency", "20,000/s", ours})
		}
	}
	for _, s := range alone {
		for _, sys := range aloneSystems {
			list = append(list, job{"alone", s, sys})
		}
	}
	for _, v := range benchmarks.Variants() {
		list = append(list, job{"variant", "1→1", v.Name})
	}
	for _, sys := range benchmarks.Systems() {
		if sys.Kind != benchmarks.Sync && sys.Name != "function call" {
			list = append(list, job{"latency", "20,000/s", sys.Name})
		}
	}
	for _, sys := range benchmarks.Systems() {
		if sys.Queues {
			list = append(list, job{"queued", "1,000,000", sys.Name})
		}
	}
	return append(list, job{"telemetry", "1→1", "never sampled"}, job{"telemetry", "1→1", "sampled"})
}

// What is measured once more in a process that has no other data: there the garbage collector runs as often as
// what the bus itself allocates makes it, which is hard on whoever makes an envelope per event.
var (
	alone        = []string{"1→1", "1→10"}
	aloneSystems = []string{channel, ours, "libp2p eventbus", "cskr/pubsub"}
)

// outcome is what a child prints.
type outcome struct {
	benchmarks.Result
	Bare, Added float64 // of telemetry, ns
	PerSecond   float64 // of journals and engines, events
}

// profiled calls f, and writes a CPU profile of it to the file of a name if there is one.
func profiled(name string, f func() error) (err error) {
	if name == "" {
		return f()
	}
	to, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	if err := pprof.StartCPUProfile(to); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return f()
}

func measure(what string, about time.Duration, heap int) error {
	part := strings.Split(what, "|")
	if len(part) != 3 {
		return fmt.Errorf("no such measurement: %q", what)
	}
	j := job{part[0], part[1], part[2]}
	if j.kind == "alone" {
		heap = 0
	}
	live := make([]byte, heap<<20) // data that a service would have
	defer runtime.KeepAlive(live)
	if j.kind == "journal" {
		o, err := measureJournal(j, about)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(o)
	}
	if strings.HasPrefix(j.kind, "engine ") {
		o, err := measureEngine(j, about)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(o)
	}
	sys, known := benchmarks.Find(j.system)
	if j.kind == "variant" {
		for _, v := range benchmarks.Variants() {
			if v.Name == j.system {
				sys, known = v, true
			}
		}
	}
	if !known && j.kind != "telemetry" {
		return fmt.Errorf("no such system: %q", j.system)
	}
	var o outcome
	var err error
	switch j.kind {
	case "throughput", "alone", "variant":
		err = fmt.Errorf("no such scenario: %q", j.scenario)
		for _, s := range benchmarks.Scenarios {
			if s.Name == j.scenario {
				o.Result, err = benchmarks.Throughput(sys, s, about)
			}
		}
	case "latency":
		o.Result, err = benchmarks.Latency(sys, 20_000, 5*about)
	case "queued":
		o.Result, err = benchmarks.Queued(sys, 1_000_000)
	case "telemetry":
		o.Bare, o.Added = benchmarks.Telemetry(j.system == "sampled", 5*about)
	default:
		err = fmt.Errorf("no such measurement: %q", what)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(o)
}

func report(runs int, about time.Duration, heap int, out, only string, check bool) error {
	if info, err := os.Stat(out); only == "" && (err != nil || !info.IsDir()) {
		return fmt.Errorf("-out %s is no folder: run this from the repository's root", out)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	found := results{About: about, Runs: runs, Heap: heap, Of: make(map[string][]outcome)}
	found.describeMachine()
	list := jobs()
	for run := range runs {
		for i, j := range list {
			if !strings.Contains(j.String(), only) {
				continue
			}
			fmt.Fprintf(os.Stderr, "\r\033[Krun %d of %d, %d of %d: %s", run+1, runs, i+1, len(list), j)
			o, err := start(self, j, about, heap)
			if err != nil {
				return fmt.Errorf("%s: %w", j, err)
			}
			found.Of[j.String()] = append(found.Of[j.String()], o)
		}
	}
	fmt.Fprint(os.Stderr, "\r\033[K")
	if only != "" {
		for _, j := range list {
			if found.Of[j.String()] != nil {
				fmt.Fprintf(os.Stdout, "%-60s %8.0f ns %6.1f allocs %8.0f B\n", j, found.median(j, nanoseconds), found.median(j, allocs), found.median(j, bytes))
			}
		}
		return nil
	}
	raw, err := json.MarshalIndent(found, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(out, "results.json"), append(raw, '\n'), 0o644); err != nil {
		return err
	}
	return found.write(out, check)
}

// again writes what was found before.
func again(from, out string, check bool) error {
	raw, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	var found results
	if err := json.Unmarshal(raw, &found); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	return found.write(out, check)
}

// write writes the table and the chart.
func (r *results) write(out string, check bool) error {
	goals := r.goals()
	text := r.markdown(goals)
	fmt.Fprint(os.Stdout, text)
	err := errors.Join(
		os.WriteFile(filepath.Join(out, "RESULTS.md"), []byte(text), 0o644),
		os.WriteFile(filepath.Join(out, "chart.svg"), []byte(r.chart()), 0o644))
	if err != nil || !check {
		return err
	}
	for _, g := range goals {
		if g.first != 0 && !g.met(g.first) {
			return fmt.Errorf("not met: %s", g.what)
		}
	}
	return nil
}

// start makes one measurement in a process of its own.
func start(self string, j job, about time.Duration, heap int, more ...string) (o outcome, err error) {
	cmd := exec.Command(self, append([]string{"-child", j.String(), "-about", about.String(), "-heap", fmt.Sprint(heap)}, more...)...)
	cmd.Stderr = os.Stderr
	printed, err := cmd.Output()
	if err != nil {
		return o, err
	}
	return o, json.Unmarshal(printed, &o)
}
