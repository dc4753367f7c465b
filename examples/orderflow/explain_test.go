package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write testdata down anew")

// The map is the same whatever fails, and wherever events are kept.
func TestTheMapIsTheOneThatIsKeptWithTheCode(t *testing.T) {
	path := filepath.Join("testdata", "map.json")
	for seed, journal := range []string{inMemory, inMemory, inMemory, "sqlite:" + filepath.Join(t.TempDir(), "journal.db")} {
		in, err := read(config{}, nil, io.Discard)
		require.NoError(t, err)
		s, err := openStore(t.Context(), journal, "", io.Discard)
		require.NoError(t, err)
		f := newFlow(config{chart: asJSON, seed: uint64(seed)}, s, io.Discard)
		require.NoError(t, f.process(t.Context(), in))
		got := f.ways.Map(f.Bus).JSON()
		require.NoError(t, s.end(t.Context(), true))
		if *update {
			require.NoError(t, os.WriteFile(path, got, 0o600))
		}
		want, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, string(want), string(got), "seed %d; if the change is meant: go test ./examples/orderflow -run TestTheMap -update", seed)
	}
}

func TestTheMapIsPrintedAsItIsAskedFor(t *testing.T) {
	kept, err := os.ReadFile(filepath.Join("testdata", "map.json"))
	require.NoError(t, err)
	const chart = "in Mermaid:\nflowchart LR\n"
	for arg, want := range map[string]string{"-map": chart, "-map=mermaid": chart, "-map=json": "as JSON:\n" + string(kept), "-map=false": ""} {
		status, out, _ := play(t, t.Context(), "", "-journal", inMemory, arg)
		require.Equal(t, exitOK, status)
		_, out, printed := strings.Cut(out, "\nTHE MAP, ")
		assert.Equal(t, want != "", printed, arg)
		assert.True(t, strings.HasPrefix(out, want), "%s: %s", arg, out)
	}
	status, _, errs := play(t, t.Context(), "", "-map=svg")
	assert.Equal(t, exitBadUsage, status)
	assert.Contains(t, errs, "neither mermaid nor json")
}

func TestWhyTellsWhatAnInvoiceHasLedTo(t *testing.T) {
	for _, journal := range []string{inMemory, temporary} {
		status, out, _ := play(t, t.Context(), "", "-journal", journal, "-why", "A700121", "-map", "-duplicates", "1")
		require.Equal(t, exitOK, status)
		_, out, _ = strings.Cut(out, "WHY: flow A700121: ")
		story, chart, _ := strings.Cut(out, "THE MAP")
		for _, piece := range []string{
			"intake.invoice_received", "  by orderflow", "─ orders  handled", "─ orders  skipped", "orders.placed",
			"handled when redelivered", "(1: total is negative: -£185.40)", "payments.written_off", "─ audit",
		} {
			assert.Contains(t, story, piece)
		}
		assert.Contains(t, chart, "flowchart LR\n")
	}
}

// What an earlier run has handled is known from the journal, without its attempts.
func TestWhyKnowsEarlierRuns(t *testing.T) {
	journal := "sqlite:" + filepath.Join(t.TempDir(), "journal.db")
	status, _, _ := play(t, t.Context(), "", "-journal", journal)
	require.Equal(t, exitOK, status)
	status, out, _ := play(t, t.Context(), header, "-orders", "-", "-journal", journal, "-why", "A700121")
	require.Equal(t, exitOK, status)
	_, story, _ := strings.Cut(out, "WHY: ")
	assert.Contains(t, story, "└─ orders.placed")
	assert.Contains(t, story, "└─ payments.written_off")
	assert.NotContains(t, story, "handled")

	status, out, _ = play(t, t.Context(), "", "-journal", inMemory, "-why", "\x1b none")
	require.Equal(t, exitOK, status)
	assert.Contains(t, out, "WHY: no invoice ? none has come in")
	status, _, errs := play(t, t.Context(), "", "-json", "-map")
	assert.Equal(t, exitBadUsage, status)
	assert.Equal(t, 1, strings.Count(errs, "\n"), fmt.Sprint(errs))
}
