package jitney_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/deadletter"
)

// All that holds back at once, with real goroutines: events that die, and go back by a job while others come
// in; outages; pauses; shares. In the end each key's events were handled in the order of Publish, each once.
func TestHeldBackUnderLoad(t *testing.T) {
	for what, opts := range map[string][]jitney.SubscribeOption{
		"one lane": nil,
		"workers":  {jitney.WithWorkers(4)},
		"shares": {jitney.WithWorkers(4), jitney.WithFairShare(jitney.FairShare{
			By:   func(env *jitney.Envelope) string { return env.Key[:2] },
			Cost: func(env *jitney.Envelope) int { return 1 + env.Event.(fact).N%3 },
		})},
		"parking that is full at times": {jitney.WithWorkers(4), jitney.WithParking(20)},
	} {
		t.Run(what, func(t *testing.T) { holdBack(t, opts) })
	}
}

func holdBack(t *testing.T, opts []jitney.SubscribeOption) {
	const publishers, keys, events = 4, 6, 600
	b := jitney.New(silent)
	letters := &jitney.MemoryDeadLetters{}
	var down atomic.Bool
	var mu sync.Mutex
	got := make(map[string][]int)
	s := jitney.Subscribe(b, "s", func(ctx context.Context, f fact) error {
		switch r := rand.IntN(200); {
		case down.Load():
			return errBoom
		case r == 0:
			return jitney.Permanent(errBoom)
		case r < 10:
			return errBoom
		}
		mu.Lock()
		defer mu.Unlock()
		got[f.Key] = append(got[f.Key], f.N)
		return nil
	}, append([]jitney.SubscribeOption{
		jitney.WithDeadLetters(letters), jitney.WithParking(10_000), jitney.WithBuffer(200),
		jitney.WithRetry(jitney.Retry{Attempts: 3, Base: time.Microsecond, Max: 100 * time.Microsecond}),
		jitney.WithBreaker(jitney.Breaker{Failures: 8, Pause: time.Millisecond, MaxPause: 2 * time.Millisecond}),
	}, opts...)...)

	done := make(chan struct{})
	var meddlers, all sync.WaitGroup
	meddle := func(f func()) {
		meddlers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					f()
				}
			}
		})
	}
	job := deadletter.Redrive{Bus: b, Store: letters}
	meddle(func() { _, _ = job.Run(context.Background()); time.Sleep(time.Millisecond) })
	meddle(func() { s.Pause(); time.Sleep(100 * time.Microsecond); s.Resume(); time.Sleep(2 * time.Millisecond) })
	meddle(func() {
		down.Store(true)
		time.Sleep(time.Millisecond)
		down.Store(false)
		time.Sleep(5 * time.Millisecond)
	})
	meddle(func() { assert.Zero(t, s.Stats().Unaccounted()); time.Sleep(time.Millisecond) })
	for p := range publishers {
		all.Go(func() {
			for n := range events {
				assert.NoError(t, b.Publish(context.Background(), fact{Key: fmt.Sprintf("p%dk%d", p, n%keys), N: n}))
			}
		})
	}
	all.Wait()
	close(done)
	meddlers.Wait()
	s.Resume()
	down.Store(false)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		flushed := b.Flush(ctx) == nil
		cancel()
		left, err := letters.Count(context.Background(), jitney.DeadLetterFilter{})
		require.NoError(t, err)
		if flushed && left == 0 && s.Stats().Parked == 0 {
			break
		}
		_, err = job.Run(context.Background())
		require.NoError(t, err)
	}
	require.NoError(t, b.Shutdown(context.Background()))
	for p := range publishers {
		for k := range keys {
			var want []int
			for n := k; n < events; n += keys {
				want = append(want, n)
			}
			require.Equal(t, want, got[fmt.Sprintf("p%dk%d", p, k)])
		}
	}
	st := s.Stats()
	assert.Zero(t, st.Unaccounted())
	assert.EqualValues(t, publishers*events, st.Handled)
	assert.Positive(t, st.Dead)
	t.Logf("%d dead, %d retried, %d spared, breaker opened %d times", st.Dead, st.Retried, st.Spared, st.Opened)
}
