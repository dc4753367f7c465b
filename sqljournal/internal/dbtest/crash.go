package dbtest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
)

// CrashLoop runs the test of an event that is in flight whenever the process dies.
func CrashLoop(t *testing.T, begin func(t *testing.T) *Database) {
	d := begin(t)
	ctx := t.Context()
	// life is a process: it is given entries until it dies, and settles those that are given in survives.
	life := func(survives func(n int) bool) (given, crashes []int) {
		j, err := d.Open(types())
		must(t, err)
		defer func() { must(t, j.Close(context.Background())) }() // without closing the cursor: that is a death
		c, err := j.Open(ctx, jitney.Durable{Name: "s", From: jitney.FromBeginning(), Window: 100})
		must(t, err)
		end, err := j.End(ctx)
		must(t, err)
		for through := int64(0); through < end; {
			var entries []jitney.Entry
			entries, through, err = c.Next(ctx, 100)
			must(t, err)
			for _, e := range entries {
				n := e.Envelope.Event.(Counted).N
				given, crashes = append(given, n), append(crashes, e.Crashes)
				if !survives(n) {
					return given, crashes
				}
				c.Settle(e.Position, jitney.Settled)
			}
		}
		must(t, c.Close(ctx))
		return given, crashes
	}
	j, err := d.Open(types())
	must(t, err)
	for n := range 6 {
		must(t, j.Append(ctx, sealed(Counted{"k", n})))
	}
	must(t, j.Close(ctx))
	for i, want := range []string{
		"[0 1 2] [0 0 0]", // 2 kills it; nothing is known yet
		"[2] [1]",         // it is the first that may have been in flight, and it is known now that it was
		"[2] [2]",
	} {
		given, crashes := life(func(n int) bool { return n != 2 })
		if got := fmt.Sprint(given, crashes); got != want {
			t.Errorf("life %d was given %s, expected %s", i, got, want)
		}
	}
	given, crashes := life(func(int) bool { return true }) // the bus makes a dead letter of what has three
	if got := fmt.Sprint(given, crashes); got != "[2 3 4 5] [3 1 1 1]" {
		t.Errorf("at last it was given %s", got)
	}
	if given, _ := life(func(int) bool { return true }); len(given) > 0 {
		t.Errorf("given again: %v", given)
	}
}

// sealed is e in an envelope.
func sealed(e jitney.Event) *jitney.Envelope {
	return &jitney.Envelope{ID: uuid.Must(uuid.NewV7()), Type: e.EventType(), Version: 1, Time: time.Now(), Event: e}
}
