package dbtest

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
)

// Prune removes what is beyond the limits and what everybody has settled, and says who holds back the rest.
func retention(t *testing.T, d *Database) {
	j, err := d.Open(types())
	must(t, err)
	l := listen(j)
	slow, err := j.Open(t.Context(), jitney.Durable{Name: "slow", From: jitney.FromBeginning()})
	must(t, err)
	for n := range 30 {
		must(t, l.bus.Publish(t.Context(), Counted{"k", n}))
	}
	must(t, l.bus.Flush(t.Context()))
	var entries []jitney.Entry
	for len(entries) < 10 {
		more, _, err := slow.Next(t.Context(), 10-len(entries))
		must(t, err)
		entries = append(entries, more...)
	}
	slow.Settle(entries[0].Position, jitney.Unknown) // put aside: it stays
	for _, e := range entries[1:] {
		slow.Settle(e.Position, jitney.Settled)
	}
	must(t, slow.Close(t.Context()))
	must(t, l.bus.Shutdown(t.Context()))

	prune := func(r sqljournal.Retention, removed, first int64, held ...string) {
		t.Helper()
		p, err := j.Prune(t.Context(), r)
		must(t, err)
		if p.Removed != removed || p.First != first || len(p.HeldBy) != len(held) {
			t.Errorf("%+v: %+v, expected %d removed, the first %d, held by %v", r, p, removed, first, held)
		}
	}
	prune(sqljournal.Retention{}, 0, 1)
	prune(sqljournal.Retention{MaxAge: time.Hour}, 0, 1)
	prune(sqljournal.Retention{MaxEvents: 100}, 0, 1)
	prune(sqljournal.Retention{MaxBytes: 1 << 20}, 0, 1)
	prune(sqljournal.Retention{MaxEvents: 25}, 4, 6) // 1 is put aside
	prune(sqljournal.Retention{MaxAge: time.Nanosecond}, 5, 11, "slow")
	l = listen(j)
	got := func(name string) (list []int) {
		c, err := j.Open(t.Context(), jitney.Durable{Name: name, From: jitney.FromBeginning()})
		must(t, err)
		end, err := j.End(t.Context())
		must(t, err)
		for through := int64(0); through < end; {
			var entries []jitney.Entry
			entries, through, err = c.Next(t.Context(), 100)
			must(t, err)
			for _, e := range entries {
				must(t, e.Err)
				list = append(list, e.Envelope.Event.(Counted).N)
			}
		}
		must(t, c.Close(t.Context()))
		return list
	}
	if list := got("new"); len(list) != 20 || list[0] != 10 {
		t.Errorf("a new subscriber gets %v", list)
	}
	var size int64 // of the five newest
	must(t, j.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, d.sql(`SELECT SUM(100 + OCTET_LENGTH(type) + OCTET_LENGTH(attributes) + OCTET_LENGTH(data)) FROM %slog WHERE pos > 25`, d.Tables)).Scan(&size)
	}))
	prune(sqljournal.Retention{MaxBytes: size, Unsettled: true}, 15, 26, "slow", "new")
	prune(sqljournal.Retention{MaxEvents: 5, MaxBytes: size, Unsettled: true}, 0, 26)
	must(t, l.bus.Shutdown(t.Context()))
	must(t, j.Close(t.Context()))
	j, err = d.Open(types()) // what is in memory is not pruned
	must(t, err)
	l = listen(j)
	if list := got("slow"); len(list) != 6 || list[0] != 0 || list[1] != 25 {
		t.Errorf("the slow subscriber gets %v, expected what was put aside and what is left", list)
	}
	must(t, l.bus.Publish(t.Context(), Counted{"k", 30}))
	must(t, l.bus.Flush(t.Context()))
	must(t, l.bus.Shutdown(t.Context()))
	must(t, j.Close(t.Context()))
}
