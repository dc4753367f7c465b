package dbtest

import (
	"context"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jitney-go/jitney"
)

// EffectsOnce runs the test of the inbox in the handler's transaction.
func EffectsOnce(t *testing.T, begin func(t *testing.T) *Database) { effectsOnce(t, begin(t)) }

// With the inbox, the handler's effects happen once, and so does what it publishes, however often it runs.
func effectsOnce(t *testing.T, d *Database) {
	j := open(t, d)
	table := d.items(t, j, "effects")
	l := listen(j)
	var runs atomic.Int64
	jitney.Subscribe(l.bus, "effects", func(ctx context.Context, e Counted) error {
		if e.Key != "cause" {
			return nil
		}
		runs.Add(1)
		if rand.IntN(3) == 0 {
			return io.ErrUnexpectedEOF // before any effect
		}
		n, err := d.count(ctx, j.TxOf(ctx), table, "effects")
		if err == nil {
			err = l.bus.Publish(ctx, Counted{"effect", n})
		}
		if err == nil && rand.IntN(3) == 0 {
			err = io.ErrUnexpectedEOF // the transaction is undone
		}
		return err
	}, jitney.WithWorkers(4), jitney.WithIdempotency(j.Inbox()), jitney.WithStart(jitney.FromBeginning()),
		jitney.WithRetry(jitney.Retry{Attempts: 1000, Base: time.Millisecond, Max: time.Millisecond}))
	var again *jitney.Envelope
	jitney.Subscribe(l.bus, "envelopes", func(ctx context.Context, e Counted) error {
		if e.Key == "cause" {
			again = jitney.FromContext(ctx).Envelope
		}
		return nil
	}, jitney.WithSync())
	const causes = 30
	for n := range causes {
		must(t, l.bus.Publish(t.Context(), Counted{"cause", n}))
		must(t, j.Append(t.Context(), again)) // the same again is stored once
	}
	got := l.hears(t, "effect", causes)
	must(t, l.bus.Flush(t.Context()))
	for i, n := range got {
		if n != i+1 {
			t.Errorf("effect %d came as number %d", n, i+1)
		}
	}
	if len(l.of("effect")) != causes {
		t.Errorf("%d effects of %d causes", len(l.of("effect")), causes)
	}
	t.Logf("%d causes, %d runs, %d effects", causes, runs.Load(), len(got))
	must(t, l.bus.Shutdown(t.Context()))
}
