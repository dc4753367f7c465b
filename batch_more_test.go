package jitney_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/jitneytest"
	"github.com/jitney-go/jitney/wire"
)

func TestWorkersMakeBatchesOfSeveralKeys(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		busy := map[string]bool{}
		var running, most atomic.Int32
		got := newBatches()
		s := jitney.SubscribeBatch(b, "s", func(_ context.Context, list []fact) error {
			got.note(list)
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			got.mu.Lock()
			last := map[string]int{}
			for _, f := range list {
				assert.False(t, busy[f.Key], "two batches have events of %s", f.Key)
				assert.GreaterOrEqual(t, f.N, last[f.Key])
				last[f.Key] = f.N
			}
			for k := range last {
				busy[k] = true
			}
			got.mu.Unlock()
			time.Sleep(time.Second)
			got.mu.Lock()
			defer got.mu.Unlock()
			for k := range last {
				busy[k] = false
			}
			return nil
		}, jitney.WithBatch(10, time.Hour), jitney.WithWorkers(2))
		for i := range 40 {
			require.NoError(t, b.Publish(t.Context(), fact{Key: fmt.Sprint("k", i%8), N: i}))
		}
		require.NoError(t, b.Flush(t.Context()))
		assert.EqualValues(t, 2, most.Load())
		assert.EqualValues(t, 40, s.Stats().Handled)
		assert.Equal(t, 10, slices.Max(got.got()), "each key has but five events")
	})
}

// TestAKeyThatWaitsLeavesBatchesToTheOthers: its lane alone waits for the next attempt.
func TestAKeyThatWaitsLeavesBatchesToTheOthers(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		got := newBatches()
		failed := false
		jitney.SubscribeBatch(b, "s", func(_ context.Context, list []fact) error {
			got.note(list)
			errs := make([]error, len(list))
			if i := slices.IndexFunc(list, func(f fact) bool { return f.N == 0 }); i >= 0 && !failed {
				failed, errs[i] = true, jitney.RetryAfter(time.Minute, errBoom)
			}
			return &jitney.BatchError{Errs: errs}
		}, jitney.WithBatch(3, time.Second), jitney.WithWorkers(1), jitney.WithRetry(jitney.Retry{}))
		for i, key := range []string{"a", "b", "c", "a", "b", "c"} {
			require.NoError(t, b.Publish(t.Context(), fact{Key: key, N: i}))
			synctest.Wait()
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		assert.Equal(t, []int{3, 2, 2}, got.got())
		assert.Equal(t, []int{0, 1, 2, 4, 5, 0, 3}, got.seen, "what is behind it has waited with it")
		assert.Equal(t, []time.Duration{0, time.Second, time.Minute}, got.at)
	})
}

func TestABatchKnowsItsDeliveries(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		heard := map[int]*jitney.Delivery{}
		jitney.Subscribe(b, "other", func(ctx context.Context, e other) error {
			heard[e.N] = jitney.FromContext(ctx)
			return nil
		})
		jitney.SubscribeBatch(b, "s", func(ctx context.Context, list []fact) error {
			all := jitney.Deliveries(ctx)
			require.Len(t, all, 3)
			for i, d := range all {
				assert.Equal(t, list[i], d.Event)
				assert.Equal(t, "s", d.Subscriber)
				assert.Equal(t, 1, d.Attempt)
			}
			assert.Equal(t, list[1], jitney.FromContext(ctx).Event, "that with the most causes")
			one := jitney.ContextWithDelivery(ctx, 2)
			assert.Equal(t, list[2], jitney.FromContext(one).Event)
			assert.Len(t, jitney.Deliveries(one), 1)
			assert.Panics(t, func() { jitney.ContextWithDelivery(ctx, 3) })
			return errors.Join(b.Publish(ctx, other{1}), b.Publish(one, other{2}))
		}, jitney.WithBatch(3, time.Hour))
		jitney.Subscribe(b, "begin", func(ctx context.Context, m moody) error { return b.Publish(ctx, fact{N: 1}) })
		require.NoError(t, b.Publish(jitney.ContextWithCorrelation(t.Context(), "A"), fact{N: 0}))
		require.NoError(t, b.Publish(jitney.ContextWithCorrelation(t.Context(), "B"), moody{}))
		synctest.Wait()
		require.NoError(t, b.Publish(jitney.ContextWithCorrelation(t.Context(), "C"), fact{N: 2}))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, "B", heard[1].CorrelationID())
		assert.Equal(t, 2, heard[1].Hops)
		assert.Equal(t, "C", heard[2].CorrelationID())
		assert.Equal(t, 1, heard[2].Hops)
		assert.Empty(t, jitney.Deliveries(t.Context()))
	})
}

func TestWhatMakesNoSenseForBatchesPanics(t *testing.T) {
	b := jitney.New(silent)
	defer func() { require.NoError(t, b.Shutdown(t.Context())) }()
	handle := func(context.Context, []fact) error { return nil }
	for name, opt := range map[string]jitney.SubscribeOption{"WithSync": jitney.WithSync(), "WithFairShare": jitney.WithFairShare(jitney.FairShare{})} {
		func() {
			defer func() {
				text := fmt.Sprint(recover())
				assert.Contains(t, text, name)
				assert.Contains(t, text, "SubscribeBatch")
				assert.Contains(t, text, `"projection"`)
			}()
			jitney.SubscribeBatch(b, "projection", handle, opt)
		}()
	}
	assert.Panics(t, func() { jitney.SubscribeBatch[fact](b, "nil", nil) })
	assert.Panics(t, func() { jitney.WithBatch(0, time.Second) })
	assert.Panics(t, func() { jitney.WithBatch(1, -time.Second) })
}

// TestABreakerSeesABatchOnce: and what comes of a batch that failed is no further failure until an event fails alone.
func TestABreakerSeesABatchOnce(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		got := newBatches()
		down := true
		s := jitney.SubscribeBatch(b, "s", func(_ context.Context, list []fact) error {
			got.note(list)
			if down {
				return errBoom
			}
			return nil
		}, jitney.WithBatch(8, time.Hour), jitney.WithBreaker(jitney.Breaker{Failures: 3, Pause: time.Minute}), jitney.WithRetry(jitney.Retry{Base: time.Second, Jitter: jitney.NoJitter}))
		require.NoError(t, b.Publish(t.Context(), facts(0, 8)...))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		assert.Equal(t, []int{8, 4, 2, 1, 1}, got.got())
		assert.Equal(t, jitney.BreakerOpen, s.Stats().Breaker)
		down = false
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []int{1, 1, 2, 4}, got.got()[5:], "a probe, and then what has been halved")
		assert.EqualValues(t, 8, s.Stats().Handled)
	})
}

func TestATimeoutIsABatchs(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s := jitney.SubscribeBatch(b, "s", func(ctx context.Context, list []fact) error {
			if list[0].N == 0 {
				<-ctx.Done()
				assert.ErrorIs(t, context.Cause(ctx), jitney.ErrTimeout)
			}
			return nil
		}, jitney.WithBatch(4, time.Hour), jitney.WithTimeout(time.Second))
		require.NoError(t, b.Publish(t.Context(), facts(0, 8)...))
		require.NoError(t, b.Flush(t.Context()))
		assert.EqualValues(t, 8, s.Stats().Handled)
		assert.EqualValues(t, 4, s.Stats().Late)
	})
}

func TestTheWatchdogNamesABatchOnce(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s := jitney.SubscribeBatch(b, "s", func(context.Context, []fact) error { time.Sleep(9 * time.Second); return nil },
			jitney.WithBatch(50, time.Hour))
		require.NoError(t, b.Publish(t.Context(), facts(0, 50)...))
		synctest.Wait()
		assert.Equal(t, 50, s.Stats().Running)
		require.NoError(t, b.Flush(t.Context()))
		assert.EqualValues(t, 1, s.Stats().Slow)
	})
}

func TestMiddlewaresSeeABatchOnce(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		var seen []string
		jitney.SubscribeBatch(b, "s", func(context.Context, []fact) error { return nil }, jitney.WithBatch(3, time.Hour),
			jitney.WithMiddleware(func(next jitney.Handler) jitney.Handler {
				return func(ctx context.Context, e jitney.Event) error {
					seen = append(seen, fmt.Sprintln(e.EventType(), len(e.(jitney.Batch)), len(jitney.Deliveries(ctx))))
					return next(ctx, e)
				}
			}))
		require.NoError(t, b.Publish(t.Context(), facts(0, 3)...))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []string{"jitney.batch 3 3\n"}, seen)
	})
}

func TestShutdownNamesEachEventOfABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(silent)
		s := jitney.SubscribeBatch(b, "s", func(ctx context.Context, _ []fact) error { <-ctx.Done(); return ctx.Err() }, jitney.WithBatch(3, time.Hour))
		require.NoError(t, b.Publish(t.Context(), facts(0, 5)...))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		left, ok := errors.AsType[*jitney.UnhandledError](b.Shutdown(ctx))
		require.True(t, ok)
		var named []int
		for _, u := range left.Unhandled {
			assert.False(t, u.Running)
			assert.Zero(t, u.Attempts)
			named = append(named, u.Envelope.Event.(fact).N)
		}
		assert.Equal(t, upTo(5), named)
		assert.Zero(t, s.Stats().Unaccounted())
	})
}

// TestAnInboxMarksABatchOrNothing: what is marked is not in the batch, and a failure takes back the marks of all.
func TestAnInboxMarksABatchOrNothing(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		inbox := &jitney.MemoryInbox{}
		got := newBatches()
		failed := false
		s := jitney.SubscribeBatch(b, "s", func(ctx context.Context, list []fact) error {
			got.note(list)
			assert.Len(t, jitney.Deliveries(ctx), len(list))
			errs := make([]error, len(list))
			if i := slices.IndexFunc(list, func(f fact) bool { return f.N == 2 }); i >= 0 && !failed {
				failed, errs[i] = true, errBoom
				assert.Zero(t, inbox.Len())
				return &jitney.BatchError{Errs: errs}
			}
			return nil
		}, jitney.WithBatch(4, time.Hour), jitney.WithRetry(jitney.Retry{Base: time.Second, Jitter: jitney.NoJitter}),
			jitney.WithIdempotency(inbox), jitney.WithIdempotencyKey(func(e jitney.Event) string { return e.(fact).Key }))
		for i, key := range []string{"d", "c", "b", "a", "c", "e", "d", "f"} {
			f := fact{Key: key, N: i}
			if n, before := map[int]int{4: 1, 6: 0}[i]; before {
				f.N = n
			}
			require.NoError(t, b.Publish(t.Context(), f))
		}
		require.NoError(t, b.Flush(t.Context()))
		st := s.Stats()
		assert.Equal(t, [4]uint64{6, 2, 2, 0}, [4]uint64{st.Handled, st.Skipped, st.Duplicates, st.Dead})
		assert.Equal(t, 6, inbox.Len())
		assert.Equal(t, []int{4, 2, 1}, got.got()[:3], "all; what is before the failure, again; and the failure alone")
		assert.Equal(t, []int{0, 1, 2, 3, 0, 1, 2}, got.seen[:7])
	})
}

// limpingInbox fails before it calls the handler, a few times.
type limpingInbox struct {
	jitney.MemoryInbox
	left atomic.Int32
}

func (in *limpingInbox) Run(ctx context.Context, key jitney.InboxKey, handle func(context.Context) error) error {
	if in.left.Add(-1) >= 0 {
		return errBoom
	}
	return in.MemoryInbox.Run(ctx, key, handle)
}

func TestABatchIsHeldWhileItsInboxFails(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		inbox := &limpingInbox{}
		inbox.left.Store(3)
		got := newBatches()
		s := jitney.SubscribeBatch(b, "s", got.handle, jitney.WithBatch(4, time.Hour), jitney.WithIdempotency(inbox))
		require.NoError(t, b.Publish(t.Context(), facts(0, 4)...))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []int{4}, got.got())
		st := s.Stats()
		assert.Equal(t, [4]uint64{4, 0, 0, 3}, [4]uint64{st.Handled, st.Dead, st.Retried, st.StoreErrors})
	})
}

// TestTwoDeathsOfAKeyInABatchHaveOneParking: the first letter holds the key back, and lets go all that came behind.
func TestTwoDeathsOfAKeyInABatchHaveOneParking(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		letters := &jitney.MemoryDeadLetters{}
		got := newBatches()
		sick := true
		s := jitney.SubscribeBatch(b, "s", func(_ context.Context, list []fact) error {
			got.note(list)
			errs := make([]error, len(list))
			for i, f := range list {
				if sick && f.N < 2 {
					errs[i] = errBoom
				}
			}
			return &jitney.BatchError{Errs: errs}
		}, jitney.WithBatch(3, time.Second), jitney.WithDeadLetters(letters), jitney.WithParking(10))
		for i, key := range []string{"a", "a", "b", "a", "b", "a"} {
			require.NoError(t, b.Publish(t.Context(), fact{Key: key, N: i}))
		}
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []int{0, 1, 2, 4}, got.seen)
		require.Len(t, s.Parked(), 1)
		assert.Equal(t, 2, s.Parked()[0].Deliveries)
		list, err := letters.List(t.Context(), jitney.DeadLetterFilter{})
		require.NoError(t, err)
		sick = false
		require.NoError(t, b.Redeliver(t.Context(), list[1]))
		assert.Equal(t, 2, s.Stats().Parked, "it is the first that holds back")
		require.NoError(t, b.Redeliver(t.Context(), list[0]))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []int{0, 1, 2, 4, 1, 0, 3, 5}, got.seen)
	})
}

// TestADurableSubscriptionIsFedInBatches: and goes on where it was, also with what waits for another attempt.
func TestADurableSubscriptionIsFedInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		types := wire.NewTypes()
		wire.Register[fact](types)
		j := jitneytest.NewMemoryJournal(types)
		b := jitney.New(silent, jitney.WithJournal(j))
		got := newBatches()
		handle := func(_ context.Context, list []fact) error {
			got.note(list)
			errs := make([]error, len(list))
			for i, f := range list {
				if f.N%10 == 3 && time.Since(got.begin) < time.Minute {
					errs[i] = jitney.RetryAfter(2*time.Minute, errBoom)
				}
			}
			return &jitney.BatchError{Errs: errs}
		}
		opts := []jitney.SubscribeOption{jitney.WithBatch(10, time.Second), jitney.WithRetry(jitney.Retry{}), jitney.WithStart(jitney.FromBeginning())}
		s := jitney.SubscribeBatch(b, "s", handle, opts...)
		require.NoError(t, b.Publish(t.Context(), facts(0, 25)...))
		time.Sleep(5 * time.Second)
		synctest.Wait()
		assert.EqualValues(t, 9, s.Stats().Handled, "one lane: the fourth event waits")
		require.NoError(t, b.Shutdown(t.Context()))
		b = jitney.New(silent, jitney.WithJournal(j))
		s = jitney.SubscribeBatch(b, "s", handle, opts...)
		time.Sleep(3 * time.Minute)
		require.NoError(t, b.Flush(t.Context()))
		assert.EqualValues(t, 16, s.Stats().Handled)
		assert.ElementsMatch(t, append(upTo(25), 3), got.seen)
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// TestRecallTakesBackABatchThatRuns: what has ended is settled, the rest is another process's.
func TestRecallTakesBackABatchThatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		types := wire.NewTypes()
		wire.Register[fact](types)
		j := &recalling{Journal: jitneytest.NewMemoryJournal(types)}
		b := jitney.New(silent, jitney.WithJournal(j))
		s := jitney.SubscribeBatch(b, "s", func(_ context.Context, list []fact) error {
			time.Sleep(time.Minute)
			return &jitney.BatchError{Errs: []error{nil, errBoom}}
		}, jitney.WithBatch(3, time.Hour), jitney.WithRetry(jitney.Retry{}))
		require.NoError(t, b.Publish(t.Context(), facts(0, 5)...))
		time.Sleep(time.Second)
		synctest.Wait()
		require.NoError(t, j.recall(t.Context(), 1, 2, 3, 4, 5))
		st := s.Stats()
		assert.Equal(t, [3]uint64{5, 1, 4}, [3]uint64{st.Accepted, st.Handled, st.Recalled})
		assert.Zero(t, st.Queued+st.Running+st.Waiting)
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// recalling is a journal whose recall is at hand.
type recalling struct {
	jitney.Journal
	recall func(context.Context, ...int64) error
}

func (j *recalling) Open(ctx context.Context, d jitney.Durable) (jitney.Cursor, error) {
	j.recall = d.Recall
	return j.Journal.Open(ctx, d)
}
