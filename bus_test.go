package jitney_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
)

func TestG2PartialAcceptanceIsNamed(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		open := make(chan struct{})
		var got [3]int
		count := func(i int, wait bool) func(context.Context, fact) error {
			return func(context.Context, fact) error {
				if wait {
					<-open
				}
				got[i]++
				return nil
			}
		}
		jitney.Subscribe(b, "first", count(0, false))
		jitney.Subscribe(b, "full", count(1, true), jitney.WithBuffer(1), jitney.WithOverflow(jitney.Reject))
		jitney.Subscribe(b, "last", count(2, false))
		for range 2 {
			require.NoError(t, b.Publish(t.Context(), fact{}))
			synctest.Wait()
		}
		err := b.Publish(t.Context(), fact{})
		refused, ok := errors.AsType[*jitney.PublishError](err)
		require.True(t, ok, "%v", err)
		require.ErrorIs(t, err, jitney.ErrQueueFull)
		assert.Equal(t, []string{"full"}, refused.Subscribers())
		assert.NotZero(t, refused.Envelope.ID)

		close(open)
		require.NoError(t, b.Flush(t.Context()))
		require.NoError(t, b.Forward(t.Context(), refused.Envelope, refused.Subscribers()...))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, [3]int{3, 3, 3}, got)
	})
}

func TestCorrelationAndCauseFlow(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		var root, child *jitney.Delivery
		jitney.Subscribe(b, "first", func(ctx context.Context, _ fact) error {
			root = jitney.FromContext(ctx)
			return b.Publish(ctx, other{})
		})
		jitney.Subscribe(b, "second", func(ctx context.Context, _ other) error {
			child = jitney.FromContext(ctx)
			return nil
		})
		require.NoError(t, b.Publish(t.Context(), fact{}))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, root.ID.String(), root.CorrelationID(), "a flow's first event gives it its id")
		assert.Equal(t, root.CorrelationID(), child.CorrelationID())
		assert.Equal(t, root.ID, child.CausationID)
		assert.Equal(t, 1, child.Hops)
		assert.Equal(t, -1, bytes.Compare(root.ID[:], child.ID[:]), "IDs rise")
		assert.EqualValues(t, 7, root.ID.Version())
		assert.Empty(t, jitney.FromContext(t.Context()).ID, "outside a handler there is an empty delivery")
	})
}

func TestG15Sharing(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		seen := make([]*shared, 3)
		for i := range seen {
			jitney.Subscribe(b, fmt.Sprint("s", i), func(_ context.Context, e *shared) error { seen[i] = e; return nil })
		}
		e := &shared{}
		e.text = "written before Publish, read after: -race would see it otherwise"
		require.NoError(t, b.Publish(t.Context(), e))
		require.NoError(t, b.Flush(t.Context()))
		for i := range seen {
			assert.Same(t, e, seen[i], "the event itself, not a copy")
		}
	})
}

func TestAnInterfaceIsAFamilyInOneOrder(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		var got, all []string
		require.NoError(t, b.Publish(t.Context(), other{})) // its route is there before the subscription is
		jitney.Subscribe(b, "family", func(_ context.Context, e family) error { got = append(got, e.EventType()); return nil })
		jitney.Subscribe(b, "all", func(_ context.Context, e jitney.Event) error { all = append(all, e.EventType()); return nil })
		require.NoError(t, b.Publish(t.Context(), fact{}, other{}, moody{}, fact{}))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []string{"test.fact", "test.other", "test.fact"}, got)
		assert.Equal(t, []string{"test.fact", "test.other", "test.moody", "test.fact"}, all)
	})
}

func TestHopLimitEndsALoop(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s := jitney.Subscribe(b, "loop", func(ctx context.Context, f fact) error { return b.Publish(ctx, f) })
		require.NoError(t, b.Publish(t.Context(), fact{}))
		require.NoError(t, b.Flush(t.Context()))
		assert.EqualValues(t, 11, s.Stats().Accepted)
		assert.EqualValues(t, 1, s.Stats().Dead)
	}, jitney.WithHopLimit(10))
}

func TestOnePublishHasOneTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(silent, jitney.WithPublishTimeout(time.Second))
		release := make(chan struct{})
		jitney.Subscribe(b, "s", func(context.Context, fact) error { <-release; return nil }, jitney.WithBuffer(1))
		require.NoError(t, b.Publish(t.Context(), fact{N: 0}))
		synctest.Wait()
		require.NoError(t, b.Publish(t.Context(), fact{N: 1}))
		begin := time.Now()
		err := b.Publish(t.Context(), facts(2, 5)...)
		assert.Equal(t, time.Second, time.Since(begin))
		require.ErrorIs(t, err, jitney.ErrQueueFull)
		assert.Len(t, err.(interface{ Unwrap() []error }).Unwrap(), 5, "each is named")
		close(release)
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

func TestAHookHasAMapToPutHeadersIn(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		var tenant string
		jitney.Subscribe(b, "s", func(ctx context.Context, _ fact) error {
			tenant = jitney.FromContext(ctx).Headers["tenant"]
			return nil
		})
		require.NoError(t, b.Publish(t.Context(), fact{}))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, "one", tenant)
	}, jitney.WithPublishHook(func(_ context.Context, env *jitney.Envelope) error {
		env.Headers["tenant"] = "one"
		return nil
	}))
}
