package jitney_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
)

func TestG11DeadLetters(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		letters := &jitney.MemoryDeadLetters{}
		broken, calls, others := true, 0, 0
		jitney.Subscribe(b, "s", func(context.Context, fact) error {
			calls++
			time.Sleep(time.Millisecond)
			if broken {
				panic("broken")
			}
			return nil
		}, jitney.WithDeadLetters(letters), jitney.WithRetry(jitney.Retry{Attempts: 2}))
		jitney.Subscribe(b, "other", func(context.Context, fact) error { others++; return nil })
		require.NoError(t, b.Publish(t.Context(), fact{Key: "k"}))
		require.NoError(t, b.Flush(t.Context()))
		list, err := letters.List(t.Context(), jitney.DeadLetterFilter{Subscriber: "s"})
		require.NoError(t, err)
		require.Len(t, list, 1)
		l := list[0]
		assert.Equal(t, fact{Key: "k"}, l.Envelope.Event)
		assert.Equal(t, 2, l.Attempts)
		assert.Len(t, l.History, 2)
		assert.Contains(t, l.History[1].Stack, "TestG11DeadLetters")
		assert.Equal(t, jitney.ReasonExhausted, l.Reason)

		require.Error(t, b.Redeliver(t.Context(), l), "it fails again")
		l, err = letters.Get(t.Context(), l.ID)
		require.NoError(t, err, "and is back where it was")
		assert.Equal(t, 4, l.Attempts)
		assert.Equal(t, 1, l.Redeliveries)

		broken, calls = false, 0
		var wg sync.WaitGroup
		var refused atomic.Int64
		for range 50 {
			wg.Go(func() {
				if err := b.Redeliver(t.Context(), l); err != nil {
					assert.True(t, errors.Is(err, jitney.ErrRedelivering) || errors.Is(err, jitney.ErrNoDeadLetter), err)
					refused.Add(1)
				}
			})
		}
		wg.Wait()
		assert.EqualValues(t, 49, refused.Load())
		assert.Equal(t, 1, calls)
		assert.Equal(t, 1, others, "nobody else was bothered")
		_, err = letters.Get(t.Context(), l.ID)
		assert.ErrorIs(t, err, jitney.ErrNoDeadLetter)
	})
}

// failingStore fails so many times before it works.
type failingStore struct {
	jitney.MemoryDeadLetters
	fails int
}

func (f *failingStore) Add(ctx context.Context, l jitney.DeadLetter) error {
	if f.fails--; f.fails >= 0 {
		if f.fails%2 == 0 {
			panic("store panics")
		}
		return errBoom
	}
	return f.MemoryDeadLetters.Add(ctx, l)
}

func TestADeliveryKeepsItsPlaceUntilItsLetterIsStored(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		store := &failingStore{fails: 10}
		var got []int
		s := jitney.Subscribe(b, "s", func(_ context.Context, f fact) error {
			got = append(got, f.N)
			if f.N == 0 {
				return errBoom
			}
			return nil
		}, jitney.WithDeadLetters(store))
		require.NoError(t, b.Publish(t.Context(), fact{N: 0}, fact{N: 1}))
		synctest.Wait()
		assert.Equal(t, 1, s.Stats().Waiting)
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []int{0, 1}, got, "the handler is not called again, and the next one waits")
		n, err := store.Count(t.Context(), jitney.DeadLetterFilter{})
		require.NoError(t, err)
		assert.Equal(t, 1, n)
		assert.EqualValues(t, 10, s.Stats().StoreErrors)
	})
}
