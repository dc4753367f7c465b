package main

import (
	"encoding/xml"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney/benchmarks"
)

// made is results as if each system took 100 ns more than the one before, and every goal's parts were there.
func made() *results {
	r := &results{Machine: "a <machine> & more", Go: "go", Date: "today", Runs: 3, Modules: map[string]string{}, Of: map[string][]outcome{}}
	for i, j := range jobs() {
		for run := range 3 {
			var o outcome
			o.Nanoseconds = float64(100*(i+1) + run)
			o.Publish = &benchmarks.Quantiles{P50: 1000, P99: 2000, P999: 3000}
			o.EndToEnd = &benchmarks.Quantiles{P50: 10_000, P99: 20_000, P999: 30_000}
			o.Bare, o.Added = 100, 110
			if j.system == "Watermill GoChannel" {
				o.Reordered, o.Lost = 1, 1
			}
			r.Of[j.String()] = append(r.Of[j.String()], o)
		}
	}
	return r
}

func TestTableSaysWhatWasFound(t *testing.T) {
	r := made()
	text := r.markdown(r.goals())
	for _, sys := range benchmarks.Systems() {
		assert.Contains(t, text, sys.Name)
	}
	assert.Contains(t, text, "ʳˡ", "what is lost or out of order is said beside the number")
	assert.Contains(t, text, "| buffered channel | 101 (1) |", "the median of 100, 101 and 102")
	assert.NotContains(t, text, "NaN")
	assert.NotContains(t, text, "Inf")
}

func TestGoalIsMetOrNot(t *testing.T) {
	g := goal{"x", 1.5, times, 1.6, 1.4}
	assert.Equal(t, "| x | 1.5× | ≤ 1.6×: met | ≤ 1.4×: not met |\n", g.line())
	g.value = 0
	assert.False(t, g.met(1), "what was not measured is not met")
}

func TestRatioIsOfEachRun(t *testing.T) {
	r := &results{Of: map[string][]outcome{}}
	a, b := job{"k", "s", "a"}, job{"k", "s", "b"}
	for _, ns := range [][2]float64{{100, 50}, {1000, 100}, {30, 10}} {
		oa, ob := outcome{}, outcome{}
		oa.Nanoseconds, ob.Nanoseconds = ns[0], ns[1]
		r.Of[a.String()] = append(r.Of[a.String()], oa)
		r.Of[b.String()] = append(r.Of[b.String()], ob)
	}
	assert.InDelta(t, 3, r.ratio(a, b, nanoseconds), 1e-9, "2, 10 and 3")
}

func TestChartIsXML(t *testing.T) {
	d := xml.NewDecoder(strings.NewReader(made().chart()))
	for {
		_, err := d.Token()
		if err == io.EOF {
			return
		}
		require.NoError(t, err)
	}
}

func TestMeasurementOfAnUnknownSystemIsAnError(t *testing.T) {
	for _, what := range []string{"", "throughput|1→1|nobody", "throughput|2→2|Jitney", "what|1→1|Jitney"} {
		assert.Error(t, measure(what, 0, 0), what)
	}
}

func TestTableOfJournalsSaysWhatWasFound(t *testing.T) {
	databases := benchmarks.Databases()
	r := &journalResults{Size: 1_000_000, CatchUp: 200_000, PerEvent: 400, Versions: map[string]string{benchmarks.SQLite: "3", "MySQL": "8"}}
	r.Of = make(map[string][]outcome)
	for _, j := range journalJobs(databases) {
		var o outcome
		o.PerSecond, o.Nanoseconds = 1000, 5e6
		switch j.scenario {
		case manyPublisher:
			o.PerSecond = 7999
		case catchUp:
			o.PerSecond = 150_000
		}
		r.Of[j.String()] = []outcome{o, o, o}
	}
	text := r.markdown()
	assert.Contains(t, text, "| **SQLite** | 1,000 | 1 | 7,999 | 8 | 150,000 |\n")
	assert.Contains(t, text, "| PostgreSQL (optional): not there |")
	assert.Contains(t, text, "| 64 publishers, to one | 8× | ≥ 8× | not met |\n", "what is rounded up is not met")
	assert.Contains(t, text, "| a subscriber that catches up, events/s | 150,000 | ≥ 150,000 | met |\n")
	assert.NotContains(t, text, "NaN")
	assert.Equal(t, "1,234,567", thousands(1234567))
	assert.Equal(t, "123", thousands(123))
}
