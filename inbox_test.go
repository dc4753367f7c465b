package jitney_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
)

func TestG12Idempotency(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		fail, calls := true, 0
		s := jitney.Subscribe(b, "s", func(context.Context, fact) error {
			calls++
			time.Sleep(time.Second)
			if fail {
				fail = false
				return errBoom
			}
			return nil
		}, jitney.WithIdempotency(&jitney.MemoryInbox{}), jitney.WithWorkers(2), jitney.WithIdempotencyKey(func(e jitney.Event) string { return "same" }))
		other := jitney.Subscribe(b, "other", ignore, jitney.WithIdempotency(&jitney.MemoryInbox{}))
		require.NoError(t, b.Publish(t.Context(), fact{N: 1}))
		require.NoError(t, b.Publish(t.Context(), fact{N: 1}))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, 2, calls, "the first failed, so the second ran")
		assert.EqualValues(t, 1, s.Stats().Handled)
		require.NoError(t, b.Publish(t.Context(), fact{N: 1}))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, 2, calls)
		assert.EqualValues(t, 1, s.Stats().Duplicates)
		assert.EqualValues(t, 3, other.Stats().Handled, "these are three events")

		require.NoError(t, b.Publish(t.Context(), fact{N: 2}))
		require.NoError(t, b.Flush(t.Context()))
		assert.EqualValues(t, 2, s.Stats().Dead, "another payload under a used key is no duplicate")
	})
}

// numbered is an event whose text encoding/json takes for a number, and shows when it is none.
type numbered struct{ Number json.Number }

func (numbered) EventType() string { return "test.numbered" }

func TestG32APayloadThatCannotBeComparedIsNotShown(t *testing.T) {
	log := &logged{}
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s := jitney.Subscribe(b, "s", func(context.Context, numbered) error { return nil },
			jitney.WithIdempotency(&jitney.MemoryInbox{}), jitney.WithIdempotencyKey(func(jitney.Event) string { return "secret" }))
		require.NoError(t, b.Publish(t.Context(), numbered{"secret"}))
		require.NoError(t, b.Flush(t.Context()))
		assert.EqualValues(t, 1, s.Stats().Dead)
		assert.NotEmpty(t, log.line("compared as JSON"))
		assert.Empty(t, log.line("secret"))
	}, jitney.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
}
