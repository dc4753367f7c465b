package dbtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
)

// rival is a transaction of somebody else's that has stored an event already, and has not ended.
type rival struct {
	tx   *sql.Tx
	envs []*jitney.Envelope // an append of these waits for it, when it has stored all but the last
}

// rivalry begins a rival. It has more to lose than the append: MariaDB undoes the lesser one of two in a deadlock.
func rivalry(t *testing.T, d *Database, db *sql.DB) *rival {
	t.Helper()
	tx, err := db.BeginTx(context.Background(), nil)
	must(t, err)
	t.Cleanup(func() { _ = tx.Rollback() }) // before the tables are dropped
	r := &rival{tx, []*jitney.Envelope{sealed(Counted{"k", 1}), sealed(Counted{"k", 2}), sealed(Counted{"k", 3})}}
	for n := range 200 {
		id := uuid.Must(uuid.NewV7())
		if n == 0 {
			id = r.envs[2].ID
		}
		d.occupy(t, tx, 1<<40+n, id)
	}
	return r
}

// occupy stores an event in tx, far behind all others: whoever stores one of that ID waits for the end of tx.
func (d *Database) occupy(t *testing.T, tx *sql.Tx, pos int, id uuid.UUID) {
	t.Helper()
	_, err := tx.ExecContext(t.Context(), d.sql("INSERT INTO %slog (pos, id, type, at, attributes, data, crc) VALUES (?, ?, ?, ?, ?, ?, ?)", d.Tables),
		pos, id[:], "dbtest.counted", 0, "", []byte("{}"), 0)
	must(t, err)
}

// stored returns how many events are committed.
func (d *Database) stored(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	must(t, db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+d.Tables+"log").Scan(&n))
	return n
}

// awaitWaiting waits until n statements that name a table of the journal's wait for a lock. InnoDB looks anew only when
// it has not been asked for 100 ms, by anybody.
func (d *Database) awaitWaiting(t *testing.T, db *sql.DB, table string, n int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; <-time.After(110*time.Millisecond + rand.N(200*time.Millisecond)) {
		var waiting int
		must(t, db.QueryRowContext(t.Context(), d.Waiting, "%"+d.Tables+table+"%").Scan(&waiting))
		if waiting >= n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d wait for %s, expected %d", waiting, table, n)
		}
	}
}

// Deadlock runs the test of an append that the database undoes to end a deadlock: it is tried again, and is whole. The
// rival's sessions have these settings, by which it is not the one that is undone.
func Deadlock(t *testing.T, begin func(t *testing.T) *Database, settings map[string]string) {
	for range 5 { // on a slow machine it may be the rival that is undone
		if deadlock(t, begin(t), settings) || t.Failed() {
			return
		}
	}
	t.Error("it was always the rival that was undone")
}

func deadlock(t *testing.T, d *Database, settings map[string]string) (undone bool) {
	j := open(t, d)
	db, err := d.With(settings)
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	r := rivalry(t, d, db)
	done := make(chan error, 1)
	go func() { done <- j.Append(context.Background(), r.envs...) }()
	d.awaitWaiting(t, db, "log", 1) // it has the head, and waits for the rival
	var next int64
	err = r.tx.QueryRowContext(t.Context(), "SELECT next FROM "+d.Tables+"head WHERE id = 1 FOR UPDATE").Scan(&next)
	if err == nil {
		if n := d.stored(t, db); n != 0 {
			t.Errorf("%d events are stored of an append that was undone", n)
		}
		select {
		case err := <-done:
			t.Errorf("the append was not tried again: %v", err)
			done <- err
		default:
		}
	}
	must(t, r.tx.Rollback())
	must(t, <-done)
	if got := fmt.Sprint(everything(t, j)); got != "[{k 1} {k 2} {k 3}]" {
		t.Errorf("stored: %s", got)
	}
	return err == nil
}

// LockTimeouts runs the test of an append that waits for a lock until the server ends the statement, in sessions with
// these settings: its publisher is told, and nothing of it is stored; what was committed in the outbox comes afterwards.
func LockTimeouts(t *testing.T, begin func(t *testing.T) *Database, settings map[string]string) {
	d := begin(t)
	schema, err := d.Open(types())
	must(t, err)
	must(t, schema.Close(t.Context())) // it has had the time for its tables
	db, err := d.Pool()
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	hasty, err := d.With(settings)
	must(t, err)
	defer func() { must(t, hasty.Close()) }()
	j, err := d.OpenDB(hasty, types())
	must(t, err)
	l := listen(j)

	r := rivalry(t, d, db)
	refused(t, j.Append(t.Context(), r.envs...)) // two of them were written when it came to wait
	if n := d.stored(t, db); n != 0 {
		t.Errorf("%d events are stored of an append that was refused", n)
	}
	must(t, r.tx.Rollback())

	head, err := db.BeginTx(t.Context(), nil)
	must(t, err)
	defer head.Rollback() //nolint:errcheck // after the other Rollback it does nothing
	var next int64
	must(t, head.QueryRowContext(t.Context(), "SELECT next FROM "+d.Tables+"head WHERE id = 1 FOR UPDATE").Scan(&next))
	must(t, j.Tx(t.Context(), func(ctx context.Context, _ *sql.Tx) error { return l.bus.Publish(ctx, Counted{"outbox", 1}) }))
	refused(t, j.Append(t.Context(), r.envs...))
	if n := d.stored(t, db); n != 0 || len(l.of("outbox")) > 0 {
		t.Errorf("%d events are stored while the head was another's", n)
	}
	must(t, head.Rollback())

	for deadline := time.Now().Add(30 * time.Second); ; <-time.After(5 * time.Millisecond) {
		if err = j.Append(t.Context(), r.envs...); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprint(l.hears(t, "k", 3), l.hears(t, "outbox", 1)); got != "[1 2 3] [1]" {
		t.Errorf("heard %s", got)
	}
	must(t, l.bus.Shutdown(t.Context()))
	if n := d.stored(t, db); n != 4 {
		t.Errorf("%d events are stored, expected 4", n)
	}
	must(t, j.Close(t.Context()))
}

// refused looks at the error of what is known not to be stored.
func refused(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, sqljournal.ErrIO) || errors.Is(err, jitney.ErrIndeterminate) {
		t.Errorf("append: %v", err)
	}
}

// SerializationFailure runs the test of a transaction that the database does not let commit beside another one, in
// sessions with these settings: nothing of it is stored, and that is known.
func SerializationFailure(t *testing.T, begin func(t *testing.T) *Database, settings map[string]string, is func(error) bool) {
	d := begin(t)
	db, err := d.With(settings)
	must(t, err)
	defer func() { must(t, db.Close()) }()
	j, err := d.OpenDB(db, types())
	must(t, err)
	table := d.items(t, j, "a", "b")
	l := listen(j)
	look := func(ctx context.Context, tx *sql.Tx) (err error) {
		var sum int
		return tx.QueryRowContext(ctx, "SELECT SUM(n) FROM "+table).Scan(&sum)
	}
	// Each of the two writes what the other has read: no order of theirs would have had that.
	err = j.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		must(t, look(ctx, tx))
		must(t, l.bus.Publish(ctx, Counted{"k", 1}))
		must(t, j.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			must(t, look(ctx, tx))
			_, err := d.count(ctx, tx, table, "b")
			return errors.Join(err, l.bus.Publish(ctx, Counted{"k", 2}))
		}))
		_, err := d.count(ctx, tx, table, "a")
		return err
	})
	if !is(err) || errors.Is(err, jitney.ErrIndeterminate) {
		t.Errorf("the transaction that was undone: %v", err)
	}
	must(t, l.bus.Publish(t.Context(), Counted{"k", 3})) // the journal's own commits are of another kind
	if got := fmt.Sprint(l.hears(t, "k", 2)); got != "[2 3]" {
		t.Errorf("heard %s", got)
	}
	must(t, l.bus.Shutdown(t.Context()))
	if n := d.stored(t, db); n != 2 {
		t.Errorf("%d events are stored, expected 2", n)
	}
	must(t, j.Close(t.Context()))
}
