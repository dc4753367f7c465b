package jitney_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
)

// What has come in and what has been taken over are on the account, whoever asks when.
func TestWhatStandsInNoLaneYetIsAccountedFor(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		open := make(chan struct{})
		s := jitney.Subscribe(b, "s", func(context.Context, fact) error { <-open; return nil })
		begin := time.Now()
		for n := range 10 {
			require.NoError(t, b.Publish(t.Context(), fact{N: n}))
			if n == 4 {
				synctest.Wait() // the worker has taken over what there is
				time.Sleep(time.Second)
			}
		}
		st := s.Stats()
		assert.EqualValues(t, 10, st.Accepted)
		assert.Equal(t, 9, st.Queued)
		assert.Equal(t, 1, st.Running)
		assert.Zero(t, st.Unaccounted())
		assert.True(t, begin.Equal(st.Oldest), st.Oldest)
		close(open)
		require.NoError(t, b.Flush(t.Context()))
		assert.Zero(t, s.Stats().Oldest)
	})
}

// Shutdown names everything, wherever it stands, in the order of acceptance.
func TestShutdownNamesWhatStandsInNoLaneYet(t *testing.T) {
	for _, opts := range [][]jitney.SubscribeOption{nil, {jitney.WithWorkers(2)}} {
		synctest.Test(t, func(t *testing.T) {
			b := jitney.New(silent)
			jitney.Subscribe(b, "s", func(ctx context.Context, f fact) error {
				<-ctx.Done()
				return ctx.Err()
			}, opts...)
			for n := range 10 {
				require.NoError(t, b.Publish(t.Context(), fact{N: n}))
				if n == 4 {
					synctest.Wait()
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			var u *jitney.UnhandledError
			require.ErrorAs(t, b.Shutdown(ctx), &u)
			var left []int
			for _, d := range u.Unhandled {
				left = append(left, d.Envelope.Event.(fact).N)
			}
			assert.Equal(t, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, left)
			assert.Zero(t, b.Stats().Unaccounted())
		})
	}
}

// A queue with lanes looks at what has come in while it still has work: a key that is new does not wait for
// all that another key has queued.
func TestAKeyDoesNotWaitForAnothersBacklog(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		var got []string
		s := jitney.Subscribe(b, "s", func(ctx context.Context, f fact) error {
			got = append(got, f.Key)
			if len(got) == 5 {
				return b.Publish(ctx, fact{Key: "late"})
			}
			return nil
		}, jitney.WithWorkers(1), jitney.WithBuffer(1000))
		var events []jitney.Event
		for range 500 {
			events = append(events, fact{Key: "early"})
		}
		s.Pause() // so that all of them are there before the first is handled
		require.NoError(t, b.Publish(t.Context(), events...))
		s.Resume()
		require.NoError(t, b.Flush(t.Context()))
		assert.Less(t, slices.Index(got, "late"), 5+20)
	})
}

// Deliveries that wait again count against the bound again, whatever had come in meanwhile.
func TestWhatWaitsAgainTakesRoom(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s := jitney.Subscribe(b, "s", func(_ context.Context, f fact) error {
			if f.N == 9 {
				time.Sleep(time.Second)
				return jitney.RetryAfter(time.Hour, errBoom)
			}
			return nil
		}, jitney.WithBuffer(10), jitney.WithOverflow(jitney.Reject), jitney.WithRetry(jitney.Retry{Attempts: 2}))
		publish := func(n int) error { return b.Publish(t.Context(), fact{N: n}) }
		s.Pause() // so that the worker takes all of them over at once
		for n := range 10 {
			require.NoError(t, publish(n))
		}
		s.Resume()
		synctest.Wait() // number 9 is in the handler, and the queue empty
		require.NoError(t, publish(10))
		time.Sleep(2 * time.Second)
		assert.Equal(t, 1, s.Stats().Waiting, "number 9 takes a place again")
		for n := range 8 {
			require.NoError(t, publish(11+n))
		}
		require.ErrorIs(t, publish(19), jitney.ErrQueueFull)
		require.NoError(t, b.Flush(t.Context()))
	})
}

// What has been handled is let go, but for the last few, although the places are used again.
func TestHandledEventsAreLetGo(t *testing.T) {
	b := jitney.New(silent)
	defer func() { require.NoError(t, b.Shutdown(context.Background())) }()
	open := make(chan struct{})
	defer close(open)
	jitney.Subscribe(b, "s", func(_ context.Context, e *shared) error {
		if e.text == "first" || e.text == "last" {
			<-open
		}
		return nil
	})
	const n = 300
	var mu sync.Mutex
	freed := 0
	publish := func(text string, counted bool) {
		e := &shared{text: text}
		if counted {
			runtime.AddCleanup(e, func(struct{}) { mu.Lock(); freed++; mu.Unlock() }, struct{}{})
		}
		require.NoError(t, b.Publish(context.Background(), e))
	}
	publish("first", false)
	for i := range n {
		publish(fmt.Sprint(i), true)
	}
	publish("last", false)
	open <- struct{}{}
	require.Eventually(t, func() bool {
		runtime.GC()
		mu.Lock()
		defer mu.Unlock()
		return freed >= n-64
	}, 10*time.Second, time.Millisecond)
}
