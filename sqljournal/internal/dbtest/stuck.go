package dbtest

import (
	"context"
	"testing"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
)

// What is not settled for long does not hold up the position, stays in the journal, and comes first after a death.
func stuck(t *testing.T, d *Database) {
	ctx := t.Context()
	j, err := d.Open(types())
	must(t, err)
	const n, stuck = 3000, 10
	for range n / 1000 {
		var envs []*jitney.Envelope
		for i := range 1000 {
			envs = append(envs, sealed(Counted{"k", i}))
		}
		must(t, j.Append(ctx, envs...))
	}
	read := func(c jitney.Cursor, handled func(pos int64) bool) (entries []jitney.Entry) {
		for through := int64(0); through < n; {
			var more []jitney.Entry
			more, through, err = c.Next(ctx, n)
			must(t, err)
			entries = append(entries, more...)
			for _, e := range more {
				if handled(e.Position) {
					c.Settle(e.Position, jitney.Settled)
				}
			}
		}
		return entries
	}
	c, err := j.Open(ctx, jitney.Durable{Name: "s", From: jitney.FromBeginning(), Window: n})
	must(t, err)
	hangs := func(pos int64) bool { return pos == stuck || pos == n-stuck }
	read(c, func(pos int64) bool { return !hangs(pos) })
	must(t, j.Close(ctx)) // without closing the cursor: that is a death

	j, err = d.Open(types())
	must(t, err)
	defer func() { must(t, j.Close(context.WithoutCancel(ctx))) }()
	p, err := j.Prune(ctx, sqljournal.Retention{MaxEvents: 1})
	must(t, err)
	if p.Removed < n/2 || p.HeldBy["s"] > n/2 {
		t.Errorf("pruned %+v, expected most of %d events to be settled", p, n)
	}
	c, err = j.Open(ctx, jitney.Durable{Name: "s", Window: n})
	must(t, err)
	again := read(c, hangs)
	if len(again) != 2 || !hangs(again[0].Position) || again[0].Position > again[1].Position {
		t.Errorf("after that %d entries come again, expected the two that were not settled, in order", len(again))
	}
	must(t, c.Close(ctx))
	if p, err = j.Prune(ctx, sqljournal.Retention{MaxEvents: 1}); err != nil || len(p.HeldBy) > 0 {
		t.Errorf("pruned %+v, %v, expected nobody to hold anything back", p, err)
	}
}
