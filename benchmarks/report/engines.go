package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jitney-go/jitney/benchmarks"
)

// The flags of what is measured of engines.
var (
	engines    = flag.Bool("engines", false, "measure engines against their bare client libraries, and write ENGINES.md")
	engineSize = flag.Int64("engine-size", 40_000, "how many events are stored that a consumer catches up with")
)

func ofEngine(scenario, engine string, bare bool) job {
	return job{"engine " + benchmarks.Side(bare), scenario, engine}
}

// engineJobs is all of one turn: each measurement of the bus behind that of the client library alone.
func engineJobs(there []benchmarks.Engine) (list []job) {
	for _, e := range there {
		for _, s := range benchmarks.EngineScenarios {
			list = append(list, ofEngine(s, e.Name, true), ofEngine(s, e.Name, false))
		}
	}
	return list
}

// reportEngines measures engines in turns, and writes what it has found above the notes of ENGINES.md.
func reportEngines(runs int, about time.Duration, heap int, out, only string) error {
	name := filepath.Join(out, "ENGINES.md")
	before, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	found := &engineResults{Size: *engineSize, Versions: make(map[string]string)}
	found.About, found.Runs, found.Heap, found.Of = about, runs, heap, make(map[string][]outcome)
	found.describeMachine()
	there := found.find()
	list := matching(engineJobs(there), only)
	for run := range runs {
		for i, j := range list {
			fmt.Fprintf(os.Stderr, "\r\033[Krun %d of %d, %d of %d: %s", run+1, runs, i+1, len(list), j)
			o, err := start(self, j, about, heap, "-engine-size", fmt.Sprint(*engineSize))
			if err != nil {
				return fmt.Errorf("%s: %w", j, err)
			}
			found.Of[j.String()] = append(found.Of[j.String()], o)
		}
	}
	fmt.Fprint(os.Stderr, "\r\033[K")
	text := found.markdown(there)
	fmt.Fprint(os.Stdout, text)
	if only != "" {
		return nil
	}
	return os.WriteFile(name, []byte(text+notes(string(before))), 0o644)
}

// find returns the engines that are there, and notes their versions.
func (r *engineResults) find() (there []benchmarks.Engine) {
	for _, e := range benchmarks.Engines() {
		version, err := engineVersion(e)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s is left out: %v\n", e.Name, err)
			continue
		}
		r.Versions[e.Name] = version
		there = append(there, e)
	}
	return there
}

func engineVersion(e benchmarks.Engine) (version string, err error) {
	dir, err := os.MkdirTemp("", "jitney-engine-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	p, err := e.Begin(context.Background(), dir)
	if err != nil {
		return "", err
	}
	return p.Version(), p.Close()
}

// measureEngine makes one measurement.
func measureEngine(j job, about time.Duration) (o outcome, err error) {
	for _, e := range benchmarks.Engines() {
		if e.Name != j.system {
			continue
		}
		dir, err := os.MkdirTemp("", "jitney-engine-")
		if err != nil {
			return o, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		bare := j.kind == ofEngine("", "", true).kind
		o.PerSecond, err = benchmarks.MeasureEngine(context.Background(), e, dir, j.scenario, bare, about, *engineSize)
		return o, err
	}
	return o, fmt.Errorf("no such engine: %q", j.system)
}
