package jitney

import (
	"context"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type begun struct{}

func (begun) EventType() string { return "internal.begun" }

type moved struct{}

func (moved) EventType() string { return "internal.moved" }

// TestQuietIsNotFooledByWorkThatMoves stops the look at the subscriptions halfway, and lets the last one's
// work move to the first, which has been looked at, before it goes on. There is never a quiet moment.
func TestQuietIsNotFooledByWorkThatMoves(t *testing.T) {
	ctx := context.Background()
	for range 20 { // the look may begin late, and then sees the work where it has moved to
		b := New(WithLogger(slog.New(slog.DiscardHandler)))
		move, end := make(chan struct{}), make(chan struct{})
		Subscribe(b, "first", func(context.Context, moved) error { <-end; return nil })
		middle := Subscribe(b, "middle", func(context.Context, moved) error { return nil }, WithSync())
		last := Subscribe(b, "last", func(ctx context.Context, _ begun) error {
			<-move
			return b.Forward(ctx, envelopeOf(b, moved{}), "first")
		})
		require.NoError(t, b.Publish(ctx, begun{}))

		middle.queue.mu.Lock()
		quiet := make(chan bool)
		go func() { quiet <- b.quiet(false) }()
		time.Sleep(time.Millisecond) // no more than a chance for it to come to the middle
		close(move)
		for last.Stats().Handled == 0 {
			runtime.Gosched()
		}
		middle.queue.mu.Unlock()
		assert.False(t, <-quiet)

		close(end)
		require.NoError(t, b.Shutdown(ctx))
	}
}

func envelopeOf(b *Bus, e Event) *Envelope {
	var p posting
	if err := b.seal(context.Background(), e, time.Now().UnixNano(), &p); err != nil {
		panic(err)
	}
	return p.env
}
