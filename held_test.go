package jitney_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/jitneytest"
)

func TestAPauseHoldsOnAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := jitneytest.NewMemoryJournal(known())
		var h heard
		begin := func() (*jitney.Bus, *jitney.Subscription) {
			j.Crash(known())
			b := jitney.New(silent, jitney.WithJournal(j))
			return b, jitney.Subscribe(b, "s", h.handle)
		}
		b, s := begin()
		s.Pause() // before the journal has answered, perhaps
		require.NoError(t, b.Publish(t.Context(), fact{N: 1}))
		synctest.Wait()
		require.NoError(t, b.Shutdown(t.Context()))

		b, s = begin()
		synctest.Wait()
		assert.True(t, s.Stats().Paused)
		assert.Empty(t, h.numbers())
		s.Resume()
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []int{1}, h.numbers())
		require.NoError(t, b.Shutdown(t.Context()))

		b, s = begin()
		synctest.Wait()
		assert.False(t, s.Stats().Paused)
		s.Pause()
		synctest.Wait()
		b2, s2 := begin() // and s's process goes on, as one does that does not know that it is dead
		s2.Resume()
		synctest.Wait()
		assert.False(t, s2.Stats().Paused, "who has decided in this process is heard")
		require.NoError(t, b.Shutdown(t.Context()))
		require.NoError(t, b2.Shutdown(t.Context()))
	})
}

func TestAnOpenBreakerStaysOpenAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := jitneytest.NewMemoryJournal(known())
		var calls atomic.Int32
		var mended atomic.Bool
		changes := make(chan jitney.BreakerChange, 10)
		begin := func() (*jitney.Bus, *jitney.Subscription) {
			j.Crash(known())
			b := jitney.New(silent, jitney.WithJournal(j))
			return b, jitney.Subscribe(b, "s", func(context.Context, fact) error {
				calls.Add(1)
				if mended.Load() {
					return nil
				}
				return errBoom
			}, jitney.WithRetry(jitney.Retry{Attempts: 100, Base: 1, Max: 1}), jitney.WithBreaker(jitney.Breaker{
				Failures: 3, Pause: time.Hour, MaxPause: 8 * time.Hour, OnChange: func(c jitney.BreakerChange) { changes <- c },
			}))
		}
		b, _ := begin()
		require.NoError(t, b.Publish(t.Context(), fact{N: 1}))
		time.Sleep(90 * time.Minute) // it has opened, been tried after an hour, and opened again, for two
		assert.EqualValues(t, 4, calls.Load())
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.NoError(t, b.Shutdown(ctx))
		for len(changes) > 0 {
			<-changes
		}

		b, s := begin()
		synctest.Wait()
		assert.Equal(t, jitney.BreakerOpen, s.Stats().Breaker)
		c := <-changes
		assert.Equal(t, jitney.BreakerOpen, c.To)
		assert.Equal(t, 2*time.Hour, c.Pause)
		assert.ErrorContains(t, c.Err, errBoom.Error())
		time.Sleep(89 * time.Minute)
		assert.EqualValues(t, 4, calls.Load())
		time.Sleep(2 * time.Minute)
		assert.EqualValues(t, 5, calls.Load())
		mended.Store(true)
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, jitney.BreakerClosed, s.Stats().Breaker)
		require.NoError(t, b.Shutdown(t.Context()))

		b, s = begin()
		synctest.Wait()
		assert.Equal(t, jitney.BreakerClosed, s.Stats().Breaker)
		require.NoError(t, b.Shutdown(t.Context()))
	})
}
