package jitney_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
)

// A handler that never looks at its context is late all the same.
func TestTimeoutIsNoticedWithoutATimer(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		letters := &jitney.MemoryDeadLetters{}
		s := jitney.Subscribe(b, "s", func(_ context.Context, f fact) error {
			time.Sleep(time.Duration(f.N) * time.Second)
			if f.Key == "bad" {
				return errBoom
			}
			return nil
		}, jitney.WithTimeout(2*time.Second), jitney.WithDeadLetters(letters))
		for n := range 4 {
			require.NoError(t, b.Publish(t.Context(), fact{N: n}))
		}
		require.NoError(t, b.Publish(t.Context(), fact{Key: "bad", N: 1}, fact{Key: "bad", N: 3}))
		require.NoError(t, b.Flush(t.Context()))
		assert.EqualValues(t, 2, s.Stats().Late, "2 s and 3 s")
		list, err := letters.List(t.Context(), jitney.DeadLetterFilter{})
		require.NoError(t, err)
		require.Len(t, list, 2)
		assert.NotContains(t, list[0].LastError(), "timeout")
		assert.Contains(t, list[1].LastError(), "timeout after 2s")
	})
}

// The context with the timeout behaves like one of the standard library's, made at the attempt's begin.
func TestTimeoutContext(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		var kept context.Context
		jitney.Subscribe(b, "s", func(ctx context.Context, _ fact) error {
			kept = ctx
			begin := time.Now()
			time.Sleep(time.Second)
			require.NoError(t, ctx.Err())
			at, ok := ctx.Deadline()
			assert.True(t, ok)
			assert.Equal(t, 3*time.Second, at.Sub(begin))
			derived, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			<-derived.Done()
			assert.Equal(t, 3*time.Second, time.Since(begin))
			assert.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
			assert.ErrorIs(t, context.Cause(derived), jitney.ErrTimeout)
			assert.NotEmpty(t, jitney.FromContext(derived).ID)
			return nil
		}, jitney.WithTimeout(3*time.Second))
		require.NoError(t, b.Publish(t.Context(), fact{}))
		require.NoError(t, b.Flush(t.Context()))
		assert.Error(t, kept.Err())

		jitney.Subscribe(b, "t", func(ctx context.Context, _ other) error { kept = ctx; return nil }, jitney.WithTimeout(time.Hour))
		require.NoError(t, b.Publish(t.Context(), other{}))
		require.NoError(t, b.Flush(t.Context()))
		<-kept.Done() // nobody has asked for it while the handler ran
	})
}

// Shutdown's deadline ends a context with a timeout too, whether anybody has looked at it before or not.
func TestShutdownEndsATimeoutContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(silent)
		var causes []error
		jitney.Subscribe(b, "s", func(ctx context.Context, _ fact) error {
			<-ctx.Done()
			causes = append(causes, context.Cause(ctx))
			return ctx.Err()
		}, jitney.WithTimeout(time.Hour))
		require.NoError(t, b.Publish(t.Context(), fact{}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, b.Shutdown(ctx), jitney.ErrDeadline)
		require.Len(t, causes, 1)
		assert.ErrorIs(t, causes[0], jitney.ErrDeadline)
	})
}

// The first attempt's context comes with the envelope; the next has one of its own, and the first stays ended.
func TestEachAttemptHasAContextOfItsOwn(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		var kept []context.Context
		for _, name := range []string{"a", "b"} {
			jitney.Subscribe(b, name, func(ctx context.Context, _ fact) error {
				d := jitney.FromContext(ctx)
				assert.Equal(t, name, d.Subscriber)
				assert.NoError(t, ctx.Err())
				kept = append(kept, ctx)
				if d.Attempt < 3 {
					return errors.New("again")
				}
				return nil
			}, jitney.WithSync(), jitney.WithRetry(jitney.Retry{Base: time.Millisecond}))
		}
		require.NoError(t, b.Publish(t.Context(), fact{}))
		require.Len(t, kept, 6)
		for i, ctx := range kept {
			assert.Equal(t, i%3+1, jitney.FromContext(ctx).Attempt)
			require.ErrorIs(t, b.Publish(ctx, fact{}), jitney.ErrDeliveryEnded)
		}
	})
}

// Whoever asks for a context's channel while its handler returns gets one that is closed.
func TestContextsAskedForWhileTheirHandlerReturns(t *testing.T) {
	for name, opts := range map[string][]jitney.SubscribeOption{
		"queued": nil, "synchronous": {jitney.WithSync()}, "timeout": {jitney.WithTimeout(time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			b := jitney.New(silent)
			var asking sync.WaitGroup
			jitney.Subscribe(b, "s", func(ctx context.Context, _ fact) error {
				for range 4 {
					asking.Go(func() {
						<-ctx.Done()
						assert.Error(t, ctx.Err())
						assert.Error(t, context.Cause(ctx))
						assert.NotEmpty(t, jitney.FromContext(ctx).ID)
					})
				}
				return nil
			}, opts...)
			for range 200 {
				require.NoError(t, b.Publish(context.Background(), fact{}))
			}
			require.NoError(t, b.Shutdown(context.Background()))
			asking.Wait()
		})
	}
}
