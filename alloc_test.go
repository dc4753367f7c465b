package jitney_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
)

// TestAllocations holds the costs of an event in allocations: the event itself as an interface value, its
// envelope with the first subscriber's context in one piece, and the contexts of several subscribers as a
// third. A timeout and an inbox cost one and two more, a retry one. A rise has to be meant.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates on its own; the gate runs this without it")
	}
	ctx := context.Background()
	for _, c := range []struct {
		name        string
		subscribers int
		opts        []jitney.SubscribeOption
		most        float64
	}{
		{"nobody subscribes", 0, nil, 1},
		{"one subscriber", 1, nil, 2},
		{"ten subscribers", 10, nil, 3},
		{"synchronous", 1, []jitney.SubscribeOption{jitney.WithSync()}, 2},
		{"lanes by key", 1, []jitney.SubscribeOption{jitney.WithWorkers(4)}, 2},
		{"retry and timeout", 1, []jitney.SubscribeOption{jitney.WithRetry(jitney.Retry{}), jitney.WithTimeout(time.Hour)}, 3},
		{"an inbox", 1, []jitney.SubscribeOption{jitney.WithIdempotency(&jitney.MemoryInbox{Limit: 100})}, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := jitney.New(jitney.WithLogger(slog.New(slog.DiscardHandler)))
			defer func() { require.NoError(t, b.Shutdown(ctx)) }()
			for i := range c.subscribers {
				jitney.Subscribe(b, string(rune('a'+i)), func(context.Context, benchEvent) error { return nil }, c.opts...)
			}
			const events = 1000
			got := testing.AllocsPerRun(5, func() {
				for range events {
					require.NoError(t, b.Publish(ctx, benchSample))
				}
				require.NoError(t, b.Flush(ctx))
			}) / events
			assert.LessOrEqual(t, got, c.most+0.1) // a flush and a grown map cost a few per run
		})
	}
}

// TestAllocationsOfAQuestion: its context, its envelope with the answerer's context, and the answer.
func TestAllocationsOfAQuestion(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates on its own; the gate runs this without it")
	}
	b := jitney.New(jitney.WithLogger(slog.New(slog.DiscardHandler)))
	defer func() { require.NoError(t, b.Shutdown(t.Context())) }()
	jitney.Answer(b, "doubles", doubled)
	ctx := context.Background()
	var q jitney.Question[int] = double{N: 1}
	assert.LessOrEqual(t, testing.AllocsPerRun(1000, func() {
		if n, err := jitney.Ask(ctx, b, q); n != 2 || err != nil {
			t.Error(n, err)
		}
	}), 3.0)
}
