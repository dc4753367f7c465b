package dbtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jitney-go/jitney"
)

// Outbox runs the tests of what is published in a transaction.
func Outbox(t *testing.T, begin func(t *testing.T) *Database) {
	t.Run("IfAndOnlyIf", func(t *testing.T) { outbox(t, begin(t)) })
	t.Run("Savepoint", func(t *testing.T) { savepoint(t, begin(t)) })
	t.Run("Order", func(t *testing.T) { outboxOrder(t, begin(t)) })
	t.Run("Batches", func(t *testing.T) { outboxBatches(t, begin(t)) })
	if d := begin(t); d.Concurrent {
		t.Run("OwnTransaction", func(t *testing.T) { ownTransaction(t, begin(t)) })
		t.Run("Late", func(t *testing.T) { late(t, d) })
	}
}

// What is published in a transaction exists if and only if it commits.
func outbox(t *testing.T, d *Database) {
	j := open(t, d)
	table := d.items(t, j, "a")
	l := listen(j)
	ctx := t.Context()
	in := func(after func() error) error {
		return j.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			if j.TxOf(ctx) != tx {
				t.Error("TxOf is another transaction")
			}
			n, err := d.count(ctx, tx, table, "a")
			if err == nil {
				err = l.bus.Publish(ctx, Counted{"a", n}, Counted{"a", -n})
			}
			return errors.Join(err, after())
		})
	}
	must(t, in(func() error { return nil }))
	if err := in(func() error { return io.ErrUnexpectedEOF }); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Tx returned %v", err)
	}
	func() {
		defer func() { _ = recover() }()
		_ = in(func() error { panic("in the application") })
	}()
	must(t, in(func() error { return nil }))
	must(t, l.bus.Publish(ctx, Counted{"a", 99}))
	got := l.hears(t, "a", 5)
	if want := []int{1, -1, 2, -2, 99}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("heard %v, expected %v", got, want)
	}
	must(t, l.bus.Shutdown(ctx))
}

// What is published behind a savepoint is undone with it, although the transaction commits.
func savepoint(t *testing.T, d *Database) {
	j := open(t, d)
	l := listen(j)
	must(t, j.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return partUndone(ctx, l.bus, tx) }))
	must(t, l.bus.Publish(t.Context(), Counted{"k", 99}))
	if got := fmt.Sprint(l.hears(t, "k", 5)); got != "[1 4 5 7 99]" {
		t.Errorf("heard %s", got)
	}
	must(t, l.bus.Shutdown(t.Context()))
	if got := len(everything(t, j)); got != 5 {
		t.Errorf("%d events are stored", got)
	}
}

// partUndone publishes 1 to 7 in tx, and undoes 2, 3 and 6.
func partUndone(ctx context.Context, b *jitney.Bus, tx *sql.Tx) error {
	publish := func(ns ...int) func() error {
		events := make([]jitney.Event, len(ns))
		for i, n := range ns {
			events[i] = Counted{"k", n}
		}
		return func() error { return b.Publish(ctx, events...) }
	}
	execute := func(statement string) func() error {
		return func() error {
			_, err := tx.ExecContext(ctx, statement)
			return err
		}
	}
	for _, step := range []func() error{
		publish(1),
		execute("SAVEPOINT outer_one"), publish(2, 3), execute("ROLLBACK TO SAVEPOINT outer_one"),
		publish(4),
		execute("SAVEPOINT kept"), publish(5),
		execute("SAVEPOINT inner_one"), publish(6), execute("ROLLBACK TO SAVEPOINT inner_one"),
		execute("RELEASE SAVEPOINT kept"), publish(7),
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// The same holds in a transaction that the application has begun itself, and nothing is left of one whose owner panics
// between the publishing and the commit.
func ownTransaction(t *testing.T, d *Database) {
	db, err := d.Pool()
	must(t, err)
	defer func() { must(t, db.Close()) }()
	j, err := d.OpenDB(db, types())
	must(t, err)
	l := listen(j)
	in := func(f func(ctx context.Context, tx *sql.Tx) error) {
		defer func() { _ = recover() }()
		tx, err := db.BeginTx(t.Context(), nil)
		must(t, err)
		defer tx.Rollback() //nolint:errcheck // as applications have it: after Commit it does nothing
		must(t, f(j.WithTx(t.Context(), tx), tx))
		must(t, tx.Commit())
	}
	in(func(ctx context.Context, tx *sql.Tx) error { return partUndone(ctx, l.bus, tx) })
	l.hears(t, "k", 4)
	in(func(ctx context.Context, _ *sql.Tx) error {
		must(t, l.bus.Publish(ctx, Counted{"k", 50}, Counted{"k", 51}))
		panic("in the application")
	})
	in(func(ctx context.Context, _ *sql.Tx) error { return l.bus.Publish(ctx, Counted{"k", 60}) })
	if got := fmt.Sprint(l.hears(t, "k", 5)); got != "[1 4 5 7 60]" {
		t.Errorf("heard %s", got)
	}
	must(t, l.bus.Shutdown(t.Context()))
	if got := len(everything(t, j)); got != 5 {
		t.Errorf("%d events are stored", got)
	}
	must(t, j.Close(t.Context()))
}

// The events of transactions that excluded each other come in the order of their commits; none is lost.
func outboxOrder(t *testing.T, d *Database) {
	j := open(t, d)
	keys := []string{"a", "b", "c", "d"}
	table := d.items(t, j, keys...)
	l := listen(j, jitney.WithWorkers(4))
	var committed, undone atomic.Int64
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			for range 15 {
				key := keys[rand.IntN(len(keys))]
				err := j.Tx(context.Background(), func(ctx context.Context, tx *sql.Tx) error {
					n, err := d.count(ctx, tx, table, key)
					if err == nil {
						err = l.bus.Publish(ctx, Counted{key, n})
					}
					if d.Concurrent {
						<-time.After(time.Duration(rand.IntN(4)) * time.Millisecond)
					}
					if err == nil && rand.IntN(5) == 0 {
						err = io.ErrUnexpectedEOF
					}
					return err
				})
				switch {
				case err == nil:
					committed.Add(1)
				case errors.Is(err, io.ErrUnexpectedEOF):
					undone.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	total := 0
	for _, key := range keys {
		var n int
		must(t, j.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			return tx.QueryRowContext(ctx, d.sql(`SELECT n FROM %s WHERE k = ?`, table), key).Scan(&n)
		}))
		got := l.hears(t, key, n)
		for i, g := range got {
			if g != i+1 {
				t.Errorf("key %s: number %d came as number %d", key, g, i+1)
				break
			}
		}
		total += len(got)
	}
	if int64(total) != committed.Load() {
		t.Errorf("%d committed, %d delivered", committed.Load(), total)
	}
	t.Logf("%d committed, %d undone, %d delivered in order", committed.Load(), undone.Load(), total)
	must(t, l.bus.Shutdown(t.Context()))
}

// Each batch comes in one piece, although others were written between its events, and more than one commit moves.
func outboxBatches(t *testing.T, d *Database) {
	j := openParts(t, d)
	const publishers, of = 4, 400
	must(t, j.Tx(t.Context(), func(ctx context.Context, _ *sql.Tx) error {
		var wg sync.WaitGroup
		for p := range publishers {
			wg.Go(func() {
				envs := make([]*jitney.Envelope, of)
				for n := range envs {
					envs[n] = sealed(Part{p, 0, n, of, false})
				}
				if err := j.Append(ctx, envs...); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		return nil
	}))
	r := &reader{seen: make(map[int64]part)}
	end, err := j.End(t.Context())
	must(t, err)
	var known atomic.Int64
	known.Store(end)
	r.read(t.Context(), j, "reader", &known)
	must(t, r.err)
	checkParts(t, r.seen, publishers*of)
}

// A transaction that began earlier and commits later is delivered, and delays nobody until then.
func late(t *testing.T, d *Database) {
	j := open(t, d)
	l := listen(j)
	written, commit, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- j.Tx(context.Background(), func(ctx context.Context, _ *sql.Tx) error {
			err := l.bus.Publish(ctx, Counted{"early", 1})
			close(written)
			<-commit
			return err
		})
	}()
	<-written
	for n := range 3 {
		must(t, l.bus.Publish(t.Context(), Counted{"direct", n}))
		must(t, j.Tx(t.Context(), func(ctx context.Context, _ *sql.Tx) error { return l.bus.Publish(ctx, Counted{"later", n}) }))
	}
	l.hears(t, "direct", 3)
	l.hears(t, "later", 3)
	if got := l.of("early"); len(got) > 0 {
		t.Errorf("heard %v before its transaction had committed", got)
	}
	close(commit)
	must(t, <-done)
	l.hears(t, "early", 1)
	must(t, l.bus.Shutdown(t.Context()))
}

// What is published in a transaction under an ID that is stored already is stored once.
func outboxDuplicates(t *testing.T, d *Database) {
	j := open(t, d)
	l := listen(j)
	env := sealed(Counted{"k", 1})
	must(t, j.Append(t.Context(), env))
	other := *env
	other.Event = Counted{"k", 99}
	in := func(envs ...*jitney.Envelope) {
		must(t, j.Tx(t.Context(), func(ctx context.Context, _ *sql.Tx) error { return j.Append(ctx, envs...) }))
	}
	in(env, sealed(Counted{"k", 2}))
	in(&other)
	in(sealed(Counted{"k", 3}))
	must(t, l.bus.Flush(t.Context()))
	if got := fmt.Sprint(l.of("k")); got != "[1 2 3]" {
		t.Errorf("heard %s", got)
	}
	must(t, l.bus.Shutdown(t.Context()))
}
