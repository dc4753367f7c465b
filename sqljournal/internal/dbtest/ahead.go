package dbtest

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
)

// A subscriber that has settled what the journal does not have, for an older copy was restored, is given nothing, also
// when the journal has got as far again: what it has not seen has the positions now of what it has settled.
func ahead(t *testing.T, newer, older *Database, settled ...int) {
	const name = "ahead"
	reader := jitney.Durable{Name: name, From: jitney.FromBeginning(), Window: 10}
	ctx := t.Context()
	j := counting(t, newer, 5)
	c, err := j.Open(ctx, reader)
	must(t, err)
	all := drawn(t, c, 5)
	for _, n := range settled {
		c.Settle(all[n-1].Position, jitney.Settled)
	}
	must(t, c.Close(ctx))
	var position, crc int64
	var beyond []byte
	must(t, j.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, newer.sql(`SELECT position, ahead, crc FROM %ssubscriber WHERE name = ?`, newer.Tables), name).
			Scan(&position, &beyond, &crc)
	}))

	j = counting(t, older, 3)
	c, err = j.Open(ctx, reader)
	must(t, err)
	drawn(t, c, 3)
	must(t, c.Close(ctx))
	must(t, j.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, older.sql(`UPDATE %ssubscriber SET position = ?, ahead = ?, crc = ? WHERE name = ?`, older.Tables),
			position, beyond, crc, name)
		return err
	}))
	for range 2 {
		c, err := j.Open(ctx, reader)
		if err == nil { // where several processes share a database, it is looked at when it is this one's
			_, _, err = c.Next(ctx, 10)
			must(t, c.Close(ctx))
		}
		if !errors.Is(err, sqljournal.ErrPositionAhead) {
			t.Fatalf("a subscriber that has settled %v of 3 events: %v, expected ErrPositionAhead", settled, err)
		}
		for n := range 5 {
			must(t, j.Append(ctx, sealed(Counted{"later", n})))
		}
	}
	must(t, j.Forget(ctx, name))
	c, err = j.Open(ctx, reader)
	must(t, err)
	drawn(t, c, 13)
	must(t, c.Close(ctx))
}

// drawn reads n entries.
func drawn(t *testing.T, c jitney.Cursor, n int) (all []jitney.Entry) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for len(all) < n {
		entries, _, err := c.Next(ctx, n)
		must(t, err)
		all = append(all, entries...)
	}
	return all
}

// counting returns a journal with n events.
func counting(t *testing.T, d *Database, n int) *sqljournal.Journal {
	t.Helper()
	j := open(t, d)
	for i := range n {
		must(t, j.Append(t.Context(), sealed(Counted{"a", i})))
	}
	return j
}
