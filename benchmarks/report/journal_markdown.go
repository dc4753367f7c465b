package main

import (
	"fmt"
	"strings"

	"github.com/jitney-go/jitney/benchmarks"
)

// journalResults is all that was found of journals.
type journalResults struct {
	results
	Size, CatchUp int64
	PerEvent      float64           // bytes of the SQLite file
	Versions      map[string]string // of the databases that are there
}

func perSecond(o outcome) float64 { return o.PerSecond }

// least is a goal that is met by what is as much, or more.
type least struct {
	what, value, wanted string
	met                 bool
}

func (r *journalResults) goals() []least {
	ratio := func(scenario string, to job) float64 {
		return r.ratio(ofJournal(scenario, benchmarks.SQLite), to, perSecond)
	}
	raw, one := ofJournal(rawAppends, file), ofJournal(onePublisher, benchmarks.SQLite)
	toRaw, toOne, toEmpty := ratio(onePublisher, raw), ratio(manyPublisher, one), ratio(oneOnFull, one)
	reads := r.median(ofJournal(catchUp, benchmarks.SQLite), perSecond)
	opens := r.median(ofJournal(openFull, benchmarks.SQLite), nanoseconds) / 1e9
	return []least{
		{"one publisher, to append + fsync", trim(toRaw) + times, "≥ 0.75×", toRaw >= 0.75},
		{"64 publishers, to one", trim(toOne) + times, "≥ 8×", toOne >= 8},
		{"a subscriber that catches up, events/s", thousands(reads), "≥ 150,000", reads >= 150_000},
		{"opening a journal of " + thousands(float64(r.Size)) + " events, s", fmt.Sprintf("%.3f", opens), "< 1 (with 10,000,000)", opens > 0 && opens < 1},
		{"one publisher on that journal, to one on an empty journal", trim(toEmpty) + times, "≥ 0.95×", toEmpty >= 0.95},
	}
}

// markdown is JOURNAL.md.
func (r *journalResults) markdown() string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	p("# Journals\n\n")
	p("%s, %s, %s; medians of %s of about %v, in turns, each a process of its own with %d MiB of live\n", r.Machine, r.Go, r.Date, plural(r.Runs, "run"), r.About, r.Heap)
	p("data. `go run ./benchmarks/report -journal` makes this page. Compare within it: absolute figures are this machine's, and\n")
	p("of its disk. Every event is counted: what publishers were told is stored must be in the journal, and what a\n")
	p("subscriber catches up with must come to its handler once, in its order.\n\n")
	p("An event is %.0f bytes of the SQLite file, its indexes included. Ratios are medians of the ratios within each run.\n\n", r.PerEvent)

	raw := ofJournal(rawAppends, file)
	p("| | 1 publisher, events/s | times append + fsync | 64 publishers | times 1 publisher | catch-up with %s |\n|---|---:|---:|---:|---:|---:|\n", thousands(float64(r.CatchUp)))
	p("| a plain file, 300 bytes and an fsync each | %s | 1 | | | |\n", thousands(r.median(raw, perSecond)))
	for _, d := range benchmarks.Databases() {
		one, many := ofJournal(onePublisher, d.Name), ofJournal(manyPublisher, d.Name)
		if r.Versions[d.Name] == "" {
			p("| %s (optional): not there | | | | | |\n", d.Name)
			continue
		}
		name := "**" + d.Name + "**"
		if d.Name != benchmarks.SQLite {
			name = d.Name + " (optional)"
		}
		p("| %s | %s | %s | %s | %s | %s |\n", name, thousands(r.median(one, perSecond)), trim(r.ratio(one, raw, perSecond)),
			thousands(r.median(many, perSecond)), trim(r.ratio(many, one, perSecond)), thousands(r.median(ofJournal(catchUp, d.Name), perSecond)))
	}
	ms := func(scenario string) float64 {
		return r.median(ofJournal(scenario, benchmarks.SQLite), nanoseconds) / 1e6
	}
	p("\n| SQLite journal | opened in, ms | 1 publisher on it, events/s |\n|---|---:|---:|\n")
	p("| empty | %.1f | %s |\n", ms(openEmpty), thousands(r.median(ofJournal(onePublisher, benchmarks.SQLite), perSecond)))
	p("| with %s events | %.1f | %s |\n", thousands(float64(r.Size)), ms(openFull), thousands(r.median(ofJournal(oneOnFull, benchmarks.SQLite), perSecond)))

	p("\n## Goals, on SQLite\n\n| | | goal | |\n|---|---:|---|---|\n")
	for _, g := range r.goals() {
		verdict := "not met"
		if g.met {
			verdict = "met"
		}
		p("| %s | %s | %s | %s |\n", g.what, g.value, g.wanted, verdict)
	}

	p("\n## Versions\n\n| | version |\n|---|---|\n")
	for _, d := range benchmarks.Databases() {
		if version := r.Versions[d.Name]; version != "" {
			p("| %s | %s |\n", d.Name, version)
		}
	}
	for _, module := range []string{"modernc.org/sqlite", "github.com/jackc/pgx/v5", "github.com/go-sql-driver/mysql"} {
		p("| %s | %s |\n", module, r.Modules[module])
	}
	return b.String()
}

// thousands shows a whole number with commas.
func thousands(x float64) string {
	text := fmt.Sprintf("%.0f", x)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
