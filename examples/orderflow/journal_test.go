package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney/examples/orderflow/tally"
	"github.com/jitney-go/jitney/natsjournal/embedded"
)

// journals are the places that a run can keep its events in; each is empty. A run is killed within a time in which some
// of it has happened.
var journals = []struct {
	name   string
	within time.Duration
	make   func(t *testing.T) (journal, books string)
}{
	{"SQLite", 200 * time.Millisecond, func(t *testing.T) (journal, books string) { return file(t, "journal.db"), "" }},
	{"NATS", 1500 * time.Millisecond, func(t *testing.T) (journal, books string) { return inProcess + ":" + t.TempDir(), "" }},
	{"NATS server", 1500 * time.Millisecond, func(t *testing.T) (journal, books string) {
		s, err := embedded.Start(t.Context(), t.TempDir(), embedded.WithPort(0))
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, s.Stop()) })
		return s.URL(), file(t, "books.db")
	}},
	{"PostgreSQL", 200 * time.Millisecond, func(t *testing.T) (journal, books string) {
		return database(t, "pgx", "postgres://postgres@127.0.0.1:5432/test?sslmode=disable", "postgres://postgres@127.0.0.1:5432/%s?sslmode=disable"), ""
	}},
	{"MySQL", 200 * time.Millisecond, func(t *testing.T) (journal, books string) {
		return database(t, "mysql", "root@tcp(127.0.0.1:3306)/", "mysql://root@127.0.0.1:3306/%s"), ""
	}},
}

// file is a SQLite database of the test's own that is not there yet.
func file(t *testing.T, name string) string { return "sqlite:" + filepath.Join(t.TempDir(), name) }

// database makes a database of the test's own, and returns what -journal calls it.
func database(t *testing.T, driver, dsn, name string) string {
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := db.PingContext(ctx); err != nil {
		t.Skipf("needs a %s server at %s: %v", driver, dsn, err)
	}
	own := fmt.Sprintf("orderflow_%08x", rand.Uint32())
	_, err = db.ExecContext(ctx, "CREATE DATABASE "+own)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := db.ExecContext(context.Background(), "DROP DATABASE "+own)
		assert.NoError(t, errors.Join(err, db.Close()))
	})
	return fmt.Sprintf(name, own)
}

func TestAKilledRunGoesOnWhereItWas(t *testing.T) {
	program := build(t)
	want := playJSON(t)
	for _, journal := range journals {
		t.Run(journal.name, func(t *testing.T) {
			events, books := journal.make(t)
			args := []string{"-journal", events, "-books", books, "-json"}
			killed := 0
			for range 8 {
				cmd := exec.Command(program, args...)
				require.NoError(t, cmd.Start())
				time.AfterFunc(20*time.Millisecond+rand.N(journal.within), func() { _ = cmd.Process.Kill() })
				if cmd.Wait() != nil {
					killed++
				}
			}
			got := execute(t, program, args...)
			t.Logf("killed %d times, %d deliveries at last, %d of them known already", killed, got.Deliveries, got.DuplicatesSkipped)
			sameBooks(t, want, got)
		})
	}
}

// build builds the program, and returns where it is.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "orderflow")
	out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	return program
}

// execute runs the program to its end, and returns what it prints.
func execute(t *testing.T, program string, args ...string) (r report) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	require.NoError(t, cmd.Run(), "%s", errs.String())
	require.NoError(t, json.Unmarshal(out.Bytes(), &r))
	return r
}

// sameBooks compares what two runs have in their books, and that nothing is open.
func sameBooks(t *testing.T, want, got report) {
	t.Helper()
	assert.Equal(t, want.Orders, got.Orders)
	assert.Equal(t, want.Cancellations, got.Cancellations)
	assert.Equal(t, want.Lines, got.Lines)
	assert.Equal(t, want.Gross, got.Gross)
	assert.Equal(t, want.Refunds, got.Refunds)
	assert.Equal(t, want.Countries, got.Countries)
	assert.Zero(t, got.Unaccounted)
}

func TestAJournalThatCannotBeOpenedIsOneClearSentence(t *testing.T) {
	for _, journal := range []string{
		"amqp://localhost", "nats:nowhere", "nats://user:secret@127.0.0.1:1", "sqlite:", "sqlite:" + filepath.Join(t.TempDir(), "none", "journal.db"),
		"postgres://user:secret@127.0.0.1:1/x?connect_timeout=1", "mysql://user:secret@127.0.0.1:1/x",
	} {
		status, out, errs := play(t, t.Context(), "", "-journal", journal)
		assert.Equal(t, exitBadUsage, status, journal)
		assert.Empty(t, out)
		assert.Contains(t, errs, "-journal")
		assert.NotContains(t, errs, "secret")
	}
}

// A folder of the run's own is there while it is needed, and no longer.
func TestATemporaryJournalGoesWhenAllWentWell(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	status, _, errs := play(t, t.Context(), "", "-json")
	require.Equal(t, exitOK, status)
	assert.Contains(t, errs, "goes on with -journal sqlite:"+os.TempDir())
	left, err := os.ReadDir(os.TempDir())
	require.NoError(t, err)
	assert.Empty(t, left)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { // as soon as the journal is there, all orders have been read
		for left, _ := os.ReadDir(os.TempDir()); len(left) == 0 && ctx.Err() == nil; left, _ = os.ReadDir(os.TempDir()) {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	orders := header
	for n := range 5000 {
		orders += fmt.Sprintf("%d,A,Cup,2,2024-01-02 10:00:00,1.25,,UK\n", n)
	}
	status, _, _ = play(t, ctx, orders, "-orders", "-", "-json")
	require.Equal(t, exitFailed, status, "it was stopped")
	left, err = os.ReadDir(os.TempDir())
	require.NoError(t, err)
	assert.Len(t, left, 1, "there is something to go on with")
}

func TestSumsInADatabaseAreThoseInMemory(t *testing.T) {
	for _, journal := range journals {
		t.Run(journal.name, func(t *testing.T) {
			events, books := journal.make(t)
			s, err := openStore(t.Context(), events, books, io.Discard)
			require.NoError(t, err)
			defer func() { require.NoError(t, s.end(context.WithoutCancel(t.Context()), true)) }()
			require.NoError(t, s.sums.Create(t.Context()), "it is there already")
			other, err := s.sums.Of("other").Add(t.Context(), "a", 7)
			require.NoError(t, err)
			assert.EqualValues(t, 7, other)
			stored, memory := s.sums.Of("module"), new(tally.Memory)
			for _, step := range []struct {
				name string
				d    int64
			}{{"a", 3}, {"a", -5}, {"A", 1}, {"ä", 0}, {"a", math.MinInt64}, {"a", math.MaxInt64}, {"a", math.MaxInt64}} {
				got, err := stored.Add(t.Context(), step.name, step.d)
				want, wantErr := memory.Add(t.Context(), step.name, step.d)
				assert.Equal(t, want, got)
				if wantErr != nil {
					require.ErrorIs(t, err, tally.ErrRange)
				} else {
					require.NoError(t, err)
				}
			}
			got, err := stored.All(t.Context())
			require.NoError(t, err)
			want, err := memory.All(t.Context())
			require.NoError(t, err)
			assert.Equal(t, want, got)
		})
	}
}
