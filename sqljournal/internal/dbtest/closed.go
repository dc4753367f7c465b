package dbtest

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
)

// A journal that is closed before its bus writes nothing more, whoever asks; what was settled too late comes again.
func closed(t *testing.T, d *Database) {
	if _, err := d.Open(nil); err == nil {
		t.Error("opened without types")
	}
	j, err := d.Open(types())
	must(t, err)
	l := listen(j)
	must(t, l.bus.Publish(t.Context(), Counted{"k", 1}))
	must(t, l.bus.Flush(t.Context()))
	c, err := j.Open(t.Context(), jitney.Durable{Name: "late", From: jitney.FromBeginning()})
	must(t, err)
	entries, _, err := c.Next(t.Context(), 1)
	must(t, err)
	must(t, j.Close(t.Context()))
	must(t, j.Close(t.Context())) // once more is no error
	c.Settle(entries[0].Position, jitney.Settled)
	letter := jitney.DeadLetter{ID: sealed(Counted{}).ID, Envelope: sealed(Counted{"k", 2}), Subscriber: "s"}
	for what, f := range map[string]func(context.Context) error{
		"Append":       func(ctx context.Context) error { return j.Append(ctx, sealed(Counted{"k", 2})) },
		"Open":         func(ctx context.Context) error { _, err := j.Open(ctx, jitney.Durable{Name: "x"}); return err },
		"Cursor.Close": c.Close,
		"DeadLetters":  func(ctx context.Context) error { return j.DeadLetters().Add(ctx, letter) },
		"Prune": func(ctx context.Context) error {
			_, err := j.Prune(ctx, sqljournal.Retention{MaxEvents: 1})
			return err
		},
		"Forget": func(ctx context.Context) error { return j.Forget(ctx, "x") },
		"Tx":     func(ctx context.Context) error { return j.Tx(ctx, func(context.Context, *sql.Tx) error { return nil }) },
	} {
		if err := f(t.Context()); !errors.Is(err, sqljournal.ErrClosed) {
			t.Errorf("%s of a closed journal: %v", what, err)
		}
	}
	if err := l.bus.Publish(t.Context(), Counted{"k", 2}); !errors.Is(err, sqljournal.ErrClosed) {
		t.Errorf("Publish into a closed journal: %v", err)
	}
	must(t, l.bus.Shutdown(t.Context()))

	j = open(t, d)
	c, err = j.Open(t.Context(), jitney.Durable{Name: "late"})
	must(t, err)
	if entries, _, err := c.Next(t.Context(), 1); err != nil || len(entries) != 1 {
		t.Errorf("after that: %v, %v, expected what was not settled in time", entries, err)
	}
	must(t, c.Close(t.Context()))
	if end, err := j.End(t.Context()); err != nil || end != 1 {
		t.Errorf("the journal has %d events, %v", end, err)
	}
}
