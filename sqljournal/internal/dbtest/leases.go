package dbtest

import (
	"context"
	"database/sql"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
)

// Leases runs the test of several processes that share a subscriber's name.
func Leases(t *testing.T, begin func(t *testing.T) *Database) {
	d := begin(t)
	type process struct {
		db      *sql.DB
		j       *sqljournal.Journal
		b       *jitney.Bus
		handled atomic.Int64
	}
	var seen sync.Map
	var twice atomic.Int64
	start := func() *process {
		p := &process{}
		var err error
		p.db, err = d.Pool()
		must(t, err)
		p.j, err = d.OpenDB(p.db, types())
		must(t, err)
		p.b = jitney.New(jitney.WithJournal(p.j), jitney.WithLogger(slog.New(slog.DiscardHandler)))
		jitney.Subscribe(p.b, "shared", func(_ context.Context, e Counted) error {
			if _, again := seen.LoadOrStore(e.N, p); again {
				twice.Add(1)
			}
			p.handled.Add(1)
			return nil
		}, jitney.WithStart(jitney.FromBeginning()))
		return p
	}
	n := 0
	publish := func(p *process) {
		for range 20 {
			must(t, p.b.Publish(t.Context(), Counted{"k", n}))
			n++
		}
	}
	all := func() (sum int) {
		seen.Range(func(any, any) bool { sum++; return true })
		return sum
	}
	await := func() {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); all() < n; <-time.After(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d of %d handled", all(), n)
			}
		}
	}
	first := start()
	publish(first)
	await()
	second := start()
	publish(second)
	await()
	must(t, second.b.Flush(t.Context())) // what is the other's does not hold it up
	if first.handled.Load() != 40 || second.handled.Load() != 0 {
		t.Errorf("%d handled by the owner, %d by the other", first.handled.Load(), second.handled.Load())
	}

	must(t, first.b.Shutdown(t.Context()))
	must(t, first.j.Close(t.Context()))
	must(t, first.db.Close())
	publish(second)
	await()
	if twice.Load() > 0 {
		t.Errorf("%d handled twice although the owner has closed", twice.Load())
	}

	third := start()
	publish(third)
	await()
	must(t, second.db.Close()) // to the database that is what the death of a process is
	publish(third)
	await()
	t.Logf("%d handled twice after a death", twice.Load())
	must(t, third.b.Shutdown(t.Context()))
	must(t, third.j.Close(t.Context()))
	must(t, third.db.Close())
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_ = second.b.Shutdown(ctx)
	_ = second.j.Close(t.Context())
}
