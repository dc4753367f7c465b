package jitney_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
)

// rigFact is the n-th event of its key.
type rigFact struct {
	Key   string
	N     int
	Fails int // so many attempts fail
}

func (rigFact) EventType() string  { return "rig.fact" }
func (f rigFact) EventKey() string { return f.Key }

var errRig = errors.New("as the seed wants it")

// rigFacts returns the same events for the same seed. One in three fails, some of them to death.
func rigFacts(seed uint64, n int) []rigFact {
	rng := rand.New(rand.NewPCG(seed, 0))
	facts := make([]rigFact, n)
	for i := range facts {
		facts[i] = rigFact{Key: fmt.Sprint("k", rng.IntN(7)), N: i}
		if rng.IntN(3) == 0 {
			facts[i].Fails = 1 + rng.IntN(3)
		}
	}
	return facts
}

// rigOutcome is what can be seen of a run.
type rigOutcome struct {
	History map[string][]string // by key: event/attempt
	Handled map[int]bool
	Dead    uint64
}

// rigOutcomeOf publishes facts to one subscriber, in a bubble, and waits until all has ended.
func rigOutcomeOf(t *testing.T, facts []rigFact, opts ...jitney.SubscribeOption) rigOutcome {
	out := rigOutcome{History: map[string][]string{}, Handled: map[int]bool{}}
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		ctx := context.Background()
		b := jitney.New(jitney.WithLogger(slog.New(slog.DiscardHandler)))
		s := jitney.Subscribe(b, "s", func(ctx context.Context, f rigFact) error {
			attempt := jitney.FromContext(ctx).Attempt
			time.Sleep(time.Duration(f.N%5) * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			out.History[f.Key] = append(out.History[f.Key], fmt.Sprintf("%d/%d", f.N, attempt))
			if attempt <= f.Fails {
				return errRig
			}
			out.Handled[f.N] = true
			return nil
		}, append(opts, jitney.WithRetry(jitney.Retry{Attempts: 3, Base: 20 * time.Millisecond}))...)
		for _, f := range facts {
			_ = b.Publish(ctx, f) // a synchronous handler's last error comes back here
		}
		require.NoError(t, b.Shutdown(ctx))
		st := s.Stats()
		out.Dead = st.Dead
		assert.Zero(t, st.Unaccounted())
		assert.EqualValues(t, len(facts), st.Accepted)
	})
	return out
}

// TestConfigurationDoesNotChangeWhatHappensToAKey: how many workers and how long a queue is decides when
// something happens, never what.
func TestConfigurationDoesNotChangeWhatHappensToAKey(t *testing.T) {
	for seed := range uint64(5) {
		facts := rigFacts(seed, 300)
		want := rigOutcomeOf(t, facts, jitney.WithSync())
		require.NotEmpty(t, want.Handled)
		require.NotZero(t, want.Dead)
		for _, buffer := range []int{1, 1000} {
			for _, workers := range []int{0, 1, 3, 8} {
				opts := []jitney.SubscribeOption{jitney.WithBuffer(buffer)}
				if workers > 0 {
					opts = append(opts, jitney.WithWorkers(workers))
				}
				assert.Equal(t, want, rigOutcomeOf(t, facts, opts...), "seed %d, workers %d, buffer %d", seed, workers, buffer)
			}
		}
	}
}

// TestIDsRiseWhenTheClockIsSetBack: a bubble's clock stands decades before the real one.
func TestIDsRiseWhenTheClockIsSetBack(t *testing.T) {
	var before, after string
	publish := func(id *string) {
		hook := func(_ context.Context, env *jitney.Envelope) error { *id = env.ID.String(); return nil }
		b := jitney.New(jitney.WithLogger(slog.New(slog.DiscardHandler)), jitney.WithPublishHook(hook))
		require.NoError(t, b.Publish(context.Background(), rigFact{}))
		require.NoError(t, b.Shutdown(context.Background()))
	}
	publish(&before)
	synctest.Test(t, func(*testing.T) { publish(&after) })
	assert.Less(t, before, after)
}

// TestQueuesGetAnEventBeforeSynchronousSubscribers: a synchronous handler that was there first delays
// nobody.
func TestQueuesGetAnEventBeforeSynchronousSubscribers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		got := make(chan struct{})
		b := jitney.New(jitney.WithLogger(slog.New(slog.DiscardHandler)))
		jitney.Subscribe(b, "sync", func(context.Context, rigFact) error {
			select {
			case <-got:
			case <-time.After(time.Second):
				t.Error("the queue has not got the event")
			}
			return nil
		}, jitney.WithSync())
		jitney.Subscribe(b, "queue", func(context.Context, rigFact) error { close(got); return nil })
		require.NoError(t, b.Publish(ctx, rigFact{}))
		require.NoError(t, b.Shutdown(ctx))
	})
}
