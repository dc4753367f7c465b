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

// The flags of what is measured of journals.
var (
	journal     = flag.Bool("journal", false, "measure journals, and write JOURNAL.md")
	journalSize = flag.Int64("journal-size", 1_000_000, "how many events the journal has that is opened")
	catchUpSize = flag.Int64("catch-up-size", 200_000, "how many events a subscriber catches up with")
	folder      = flag.String("dir", "", "the folder for the journals' files, on the disk that counts; default: the system's temporary folder")
)

// What is measured of a journal.
const (
	rawAppends    = "append + fsync, 300 bytes"
	onePublisher  = "1 publisher"
	manyPublisher = "64 publishers"
	catchUp       = "catch-up"
	openEmpty     = "open, empty"
	openFull      = "open, full"
	oneOnFull     = "1 publisher, full"
)

const file = "plain file"

func ofJournal(scenario, database string) job { return job{"journal", scenario, database} }

// journalJobs is all of one turn.
func journalJobs(databases []benchmarks.Database) (list []job) {
	list = append(list, ofJournal(rawAppends, file))
	for _, d := range databases {
		list = append(list, ofJournal(onePublisher, d.Name))
		if d.Name == benchmarks.SQLite {
			list = append(list, ofJournal(oneOnFull, d.Name), ofJournal(openEmpty, d.Name), ofJournal(openFull, d.Name))
		}
		list = append(list, ofJournal(manyPublisher, d.Name), ofJournal(catchUp, d.Name))
	}
	return list
}

// reportJournal measures journals in turns, and writes what it has found.
func reportJournal(runs int, about time.Duration, heap int, out string) (err error) {
	if info, err := os.Stat(out); err != nil || !info.IsDir() {
		return fmt.Errorf("-out %s is no folder: run this from the repository's root", out)
	}
	ctx := context.Background()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(*folder, "jitney-journal-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	found := &journalResults{Size: *journalSize, CatchUp: *catchUpSize, Versions: make(map[string]string)}
	found.About, found.Runs, found.Heap, found.Of = about, runs, heap, make(map[string][]outcome)
	found.describeMachine()
	var there []benchmarks.Database
	for _, d := range benchmarks.Databases() {
		version, err := d.Version(ctx)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s is left out: %v\n", d.Name, err)
			continue
		}
		found.Versions[d.Name] = version
		there = append(there, d)
		fmt.Fprintf(os.Stderr, "\r\033[Kfilling journals: %s", d.Name)
		defer func() { err = errors.Join(err, d.Remove(ctx, dir, catchUpName)) }()
		if err := fill(ctx, d, dir, catchUpName, *catchUpSize); err != nil {
			return err
		}
	}
	if err := fill(ctx, there[0], dir, fullName, *journalSize); err != nil {
		return err
	}
	if info, err := os.Stat(filepath.Join(dir, catchUpName+".db")); err == nil {
		found.PerEvent = float64(info.Size()) / float64(*catchUpSize)
	}
	list := journalJobs(there)
	for run := range runs {
		for i, j := range list {
			fmt.Fprintf(os.Stderr, "\r\033[Krun %d of %d, %d of %d: %s", run+1, runs, i+1, len(list), j)
			o, err := start(self, j, about, heap, "-dir", dir, "-catch-up-size", fmt.Sprint(*catchUpSize))
			if err != nil {
				return fmt.Errorf("%s: %w", j, err)
			}
			found.Of[j.String()] = append(found.Of[j.String()], o)
		}
	}
	fmt.Fprint(os.Stderr, "\r\033[K")
	text := found.markdown()
	fmt.Fprint(os.Stdout, text)
	return os.WriteFile(filepath.Join(out, "JOURNAL.md"), []byte(text), 0o644)
}

// The journals that are filled once.
const (
	catchUpName = "catchup"
	fullName    = "full"
	emptyName   = "empty"
)

func fill(ctx context.Context, d benchmarks.Database, dir, name string, n int64) error {
	if err := d.Remove(ctx, dir, name); err != nil {
		return err
	}
	c, j, err := d.Open(ctx, dir, name)
	if err != nil {
		return err
	}
	return errors.Join(benchmarks.Fill(ctx, j, n), c.Close())
}

// measureJournal makes one measurement.
func measureJournal(j job, about time.Duration) (o outcome, err error) {
	ctx := context.Background()
	if j.scenario == rawAppends {
		o.PerSecond, err = benchmarks.RawAppends(*folder, about)
		return o, err
	}
	for _, d := range benchmarks.Databases() {
		if d.Name == j.system {
			return measureIn(ctx, d, j.scenario, about)
		}
	}
	return o, fmt.Errorf("no such database: %q", j.system)
}

func measureIn(ctx context.Context, d benchmarks.Database, scenario string, about time.Duration) (o outcome, err error) {
	name, known := map[string]string{
		onePublisher: emptyName, manyPublisher: emptyName, openEmpty: emptyName,
		catchUp: catchUpName, openFull: fullName, oneOnFull: fullName,
	}[scenario]
	if !known {
		return o, fmt.Errorf("no such measurement: %q", scenario)
	}
	if name == emptyName {
		c, _, err := d.Open(ctx, *folder, name) // makes the tables, or finds what an earlier one has left
		if err != nil {
			return o, err
		}
		if err := c.Close(); err != nil {
			return o, err
		}
		defer func() { err = errors.Join(err, d.Remove(ctx, *folder, name)) }()
	}
	begin := time.Now()
	c, j, err := d.Open(ctx, *folder, name)
	if err != nil {
		return o, err
	}
	o.Nanoseconds = float64(time.Since(begin))
	defer func() { err = errors.Join(err, c.Close()) }()
	switch scenario {
	case onePublisher, oneOnFull:
		o.PerSecond, err = benchmarks.Publish(ctx, j, 1, about)
	case manyPublisher:
		o.PerSecond, err = benchmarks.Publish(ctx, j, 64, about)
	case catchUp:
		o.PerSecond, err = benchmarks.CatchUp(ctx, j, *catchUpSize)
	}
	return o, err
}
