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

func TestG13Shutdown(t *testing.T) {
	t.Run("the cascade settles", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *jitney.Bus) {
			s := jitney.Subscribe(b, "s", func(ctx context.Context, f fact) error {
				time.Sleep(time.Second)
				if f.N > 0 {
					return b.Publish(ctx, fact{N: f.N - 1})
				}
				return nil
			})
			require.NoError(t, b.Publish(t.Context(), fact{N: 10}))
			done := make(chan error)
			go func() { done <- b.Shutdown(t.Context()) }()
			synctest.Wait()
			assert.ErrorIs(t, b.Publish(t.Context(), fact{}), jitney.ErrClosed)
			require.NoError(t, <-done)
			assert.EqualValues(t, 11, s.Stats().Handled)
			assert.EqualValues(t, 1, b.Stats().TooLate)
			require.NoError(t, b.Shutdown(t.Context()), "the same result again")
		})
	})
	t.Run("deadline and grace", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := jitney.New(silent, jitney.WithGrace(3*time.Second))
			deaf := make(chan struct{})
			jitney.Subscribe(b, "deaf", func(context.Context, fact) error { <-deaf; return nil })
			jitney.Subscribe(b, "waits", func(context.Context, fact) error { return jitney.RetryAfter(time.Hour, errBoom) },
				jitney.WithRetry(jitney.Retry{}))
			jitney.Subscribe(b, "interrupted", func(ctx context.Context, _ fact) error { <-ctx.Done(); return ctx.Err() })
			require.NoError(t, b.Publish(t.Context(), fact{N: 1}, fact{N: 2}))
			synctest.Wait()
			begin := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err := b.Shutdown(ctx)
			assert.Equal(t, 4*time.Second, time.Since(begin))
			left, ok := errors.AsType[*jitney.UnhandledError](err)
			require.True(t, ok, "%v", err)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Len(t, left.Unhandled, 6)
			for _, u := range left.Unhandled {
				first := u.Envelope.Event.(fact).N == 1
				assert.Equal(t, u.Subscriber == "deaf" && first, u.Running)
				attempts := 0
				if u.Subscriber == "waits" && first {
					attempts = 1
				}
				assert.Equal(t, attempts, u.Attempts, "%s: an interrupted attempt is not used up", u.Subscriber)
			}
			assert.Same(t, left, b.Shutdown(t.Context()))
			assert.Zero(t, b.Stats().Unaccounted())
			close(deaf)
		})
	})
	t.Run("from a handler", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *jitney.Bus) {
			jitney.Subscribe(b, "s", func(ctx context.Context, _ fact) error {
				assert.ErrorIs(t, b.Shutdown(ctx), jitney.ErrReentrant)
				assert.ErrorIs(t, b.Flush(ctx), jitney.ErrReentrant)
				assert.ErrorIs(t, b.Redeliver(ctx, jitney.DeadLetter{}), jitney.ErrReentrant)
				return nil
			})
			require.NoError(t, b.Publish(t.Context(), fact{}))
			require.NoError(t, b.Flush(t.Context()))
		})
	})
	t.Run("with a context that has ended", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := jitney.New(silent)
			jitney.Subscribe(b, "s", func(ctx context.Context, _ fact) error { <-ctx.Done(); return ctx.Err() })
			require.NoError(t, b.Publish(t.Context(), fact{}))
			synctest.Wait()
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			assert.ErrorIs(t, b.Shutdown(ctx), jitney.ErrDeadline)
		})
	})
}

func TestG14Unsubscribe(t *testing.T) {
	t.Run("what was accepted is handled first", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *jitney.Bus) {
			s := jitney.Subscribe(b, "s", func(context.Context, fact) error { time.Sleep(time.Second); return nil })
			require.NoError(t, b.Publish(t.Context(), fact{}, fact{}))
			begin := time.Now()
			require.NoError(t, s.Close(t.Context()))
			assert.Equal(t, 2*time.Second, time.Since(begin))
			assert.EqualValues(t, 2, s.Stats().Handled)
			require.NoError(t, b.Publish(t.Context(), fact{}))
			assert.EqualValues(t, 2, s.Stats().Accepted)
		})
	})
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		for range 200 {
			var closed atomic.Bool
			s := jitney.Subscribe(b, "s", func(context.Context, fact) error {
				time.Sleep(time.Millisecond)
				assert.False(t, closed.Load(), "called after Close")
				return nil
			}, jitney.WithWorkers(2))
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() { assert.NoError(t, b.Publish(t.Context(), fact{})) })
			}
			require.NoError(t, s.Close(t.Context()))
			closed.Store(true)
			wg.Wait()
			st := s.Stats()
			assert.Equal(t, st.Accepted, st.Handled, "what it had accepted was handled")
		}
	})
	t.Run("from its own handler", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *jitney.Bus) {
			var s *jitney.Subscription
			s = jitney.Subscribe(b, "s", func(ctx context.Context, _ fact) error {
				assert.ErrorIs(t, s.Close(ctx), jitney.ErrReentrant)
				return nil
			})
			require.NoError(t, b.Publish(t.Context(), fact{}))
		})
	})
}

func TestShutdownInterruptsASynchronousRetry(t *testing.T) {
	for _, grace := range []time.Duration{0, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			b := jitney.New(silent, jitney.WithGrace(grace))
			s := jitney.Subscribe(b, "s", func(context.Context, fact) error { return errBoom }, jitney.WithSync(),
				jitney.WithRetry(jitney.Retry{Base: time.Hour, Max: time.Hour, Jitter: jitney.NoJitter}))
			published := make(chan error)
			go func() { published <- b.Publish(context.Background(), fact{}) }()
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			left, ok := errors.AsType[*jitney.UnhandledError](b.Shutdown(ctx))
			require.True(t, ok)
			require.Len(t, left.Unhandled, 1)
			err := <-published
			require.ErrorIs(t, err, jitney.ErrDeadline)
			require.ErrorIs(t, err, errBoom)
			assert.Zero(t, s.Stats().Dead)
			assert.Zero(t, s.Stats().Unaccounted())
		})
	}
}
