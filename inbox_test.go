package jitney_test

import (
	"context"
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
