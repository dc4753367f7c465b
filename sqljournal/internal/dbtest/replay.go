package dbtest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
)

// Replay runs the test of giving a subscriber again what it has settled.
func Replay(t *testing.T, begin func(t *testing.T) *Database) {
	d := begin(t)
	j := open(t, d)
	l := listen(j)
	var other atomic.Int64
	jitney.Subscribe(l.bus, "other", func(context.Context, Counted) error { other.Add(1); return nil })
	jitney.Subscribe(l.bus, "mailer", func(context.Context, Counted) error { return nil }, jitney.WithSideEffects())
	var effects atomic.Int64
	jitney.Subscribe(l.bus, "inbox", func(context.Context, Counted) error { effects.Add(1); return nil }, jitney.WithIdempotency(j.Inbox()))
	for n := range 10 {
		must(t, l.bus.Publish(t.Context(), Counted{[]string{"a", "b"}[n%2], n}))
	}
	must(t, l.bus.Flush(t.Context()))
	key := "a"
	replay := func(r sqljournal.Replay, looked, queued int64) {
		t.Helper()
		calls := 0
		r.OnProgress = func(sqljournal.Replayed) { calls++ }
		done, err := j.Replay(t.Context(), r)
		must(t, err)
		if done.Looked != looked || done.Queued != queued || calls == 0 {
			t.Errorf("%+v: %+v, %d calls", r, done, calls)
		}
	}
	settled := func(names ...string) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); ; <-time.After(5 * time.Millisecond) {
			left := int64(0)
			for _, name := range names {
				n, err := j.Replaying(t.Context(), name)
				must(t, err)
				left += n
			}
			if left == 0 {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d are still to be given again", left)
			}
		}
	}
	replay(sqljournal.Replay{Subscriber: "listener", From: jitney.FromBeginning(), DryRun: true}, 10, 10)
	replay(sqljournal.Replay{Subscriber: "listener", From: jitney.FromBeginning(), Key: &key}, 10, 5)
	settled("listener")
	replay(sqljournal.Replay{Subscriber: "listener", Position: 8}, 3, 3)
	replay(sqljournal.Replay{Subscriber: "inbox", From: jitney.FromTime(time.Unix(0, 0))}, 10, 10)
	settled("listener", "inbox")
	must(t, l.bus.Publish(t.Context(), Counted{"a", 10}))
	must(t, l.bus.Flush(t.Context()))
	if a, b := fmt.Sprint(l.of("a")), fmt.Sprint(l.of("b")); a != "[0 2 4 6 8 0 2 4 6 8 8 10]" || b != "[1 3 5 7 9 7 9]" {
		t.Errorf("a: %v, b: %v", a, b)
	}
	if other.Load() != 11 || effects.Load() != 21 {
		t.Errorf("another subscriber has handled %d, that with an inbox %d", other.Load(), effects.Load())
	}
	for _, c := range []struct {
		r    sqljournal.Replay
		want error
	}{
		{sqljournal.Replay{Subscriber: "mailer", From: jitney.FromBeginning()}, sqljournal.ErrSideEffects},
		{sqljournal.Replay{Subscriber: "nobody", From: jitney.FromBeginning()}, sqljournal.ErrNotOpen},
	} {
		if _, err := j.Replay(t.Context(), c.r); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v", c.r, err)
		}
	}
	if _, err := j.Replay(t.Context(), sqljournal.Replay{Subscriber: "listener"}); err == nil {
		t.Error("a replay from nowhere")
	}
	replay(sqljournal.Replay{Subscriber: "mailer", From: jitney.FromBeginning(), SideEffects: true}, 11, 11)
	settled("mailer")
	must(t, l.bus.Shutdown(t.Context()))
}
