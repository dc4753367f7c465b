package jitney_test

import (
	"context"
	"fmt"
	"log/slog"
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

// batches notes what a handler of batches was given.
type batches struct {
	mu    sync.Mutex
	sizes []int
	seen  []int           // N of the events, in order
	at    []time.Duration // since the beginning
	begin time.Time
}

func newBatches() *batches { return &batches{begin: time.Now()} }

func (b *batches) note(list []fact) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sizes = append(b.sizes, len(list))
	b.at = append(b.at, time.Since(b.begin))
	for _, f := range list {
		b.seen = append(b.seen, f.N)
	}
}

func (b *batches) handle(_ context.Context, list []fact) error {
	b.note(list)
	return nil
}

func (b *batches) got() []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.sizes)
}

// facts are n facts, numbered from first on.
func facts(first, n int) (list []jitney.Event) {
	for i := range n {
		list = append(list, fact{N: first + i})
	}
	return list
}

// upTo is the numbers from 0 to n-1.
func upTo(n int) (list []int) {
	for i := range n {
		list = append(list, i)
	}
	return list
}

// TestG41Batches: whatever a batch comes to as a whole, each of its events has one outcome, in the order of its key.
// Handlers fail by event and as a whole, in batches of several keys that would take an hour to fill.
func TestG41Batches(t *testing.T) {
	const publishers, keys, events, most = 4, 3, 300, 16
	letters := &jitney.MemoryDeadLetters{}
	b := jitney.New(silent, jitney.WithDeadLetters(letters))
	poisoned := func(f fact) bool { return f.N%29 == 13 }
	var mu sync.Mutex
	handled, running := map[string][]int{}, map[string]bool{}
	failed := map[fact]bool{}
	s := jitney.SubscribeBatch(b, "s", func(_ context.Context, list []fact) error {
		mu.Lock()
		defer mu.Unlock()
		assert.LessOrEqual(t, len(list), most)
		of := map[string]bool{}
		for _, f := range list {
			of[f.Key] = true
		}
		for key := range of {
			assert.False(t, running[key], "one batch at a time has events of a key")
			running[key] = true
		}
		mu.Unlock()
		runtime.Gosched()
		mu.Lock()
		for key := range of {
			running[key] = false
		}
		if slices.ContainsFunc(list, poisoned) {
			return errBoom
		}
		errs := make([]error, len(list))
		for i, f := range list {
			if f.N%17 == 5 && !failed[f] {
				failed[f] = true // it keeps its place, so nothing after it is done
				return &jitney.BatchError{Errs: append(errs[:i:i], errBoom)}
			}
			handled[f.Key] = append(handled[f.Key], f.From*events+f.N)
		}
		return nil
	}, jitney.WithWorkers(3), jitney.WithBatch(most, time.Hour), jitney.WithRetry(jitney.Retry{Attempts: 2, Base: time.Microsecond}))

	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for n := range events {
				assert.NoError(t, b.Publish(t.Context(), fact{Key: fmt.Sprint(n % keys), From: p, N: n}))
			}
		})
	}
	wg.Wait()
	require.NoError(t, b.Shutdown(t.Context()), "it waits for no batch to fill")

	dead, err := letters.List(t.Context(), jitney.DeadLetterFilter{})
	require.NoError(t, err)
	for _, l := range dead {
		assert.True(t, poisoned(l.Envelope.Event.(fact)), "%v", l.Envelope.Event)
	}
	want, next := map[string]int{}, map[string]int{}
	for key, list := range handled {
		for _, id := range list {
			lane := fmt.Sprint(key, " of ", id/events)
			assert.GreaterOrEqual(t, id%events, next[lane], "%s: twice, or out of order", lane)
			next[lane] = id%events + 1
		}
	}
	for n := range events {
		if !poisoned(fact{N: n}) {
			want[fmt.Sprint(n%keys)] += publishers
		}
	}
	for key, n := range want {
		assert.Len(t, handled[key], n)
	}
	st := s.Stats()
	assert.EqualValues(t, len(dead), st.Dead)
	assert.EqualValues(t, publishers*events, st.Handled+st.Dead)
	assert.Zero(t, st.Skipped)
	assert.Zero(t, b.Stats().Unaccounted())
}

func TestABatchBeginsWhenItIsFull(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		got := newBatches()
		s := jitney.SubscribeBatch(b, "s", got.handle, jitney.WithBatch(5, time.Hour))
		for i := range 4 {
			require.NoError(t, b.Publish(t.Context(), fact{N: i}))
			synctest.Wait()
		}
		assert.Empty(t, got.got())
		assert.Equal(t, 4, s.Stats().Queued)
		require.NoError(t, b.Publish(t.Context(), fact{N: 4}))
		synctest.Wait()
		assert.Equal(t, []int{5}, got.got())
		assert.Zero(t, time.Since(got.begin))
		require.NoError(t, b.Publish(t.Context(), facts(5, 13)...))
		synctest.Wait()
		assert.Equal(t, []int{5, 5, 5}, got.got())
		assert.Equal(t, 3, s.Stats().Queued)
		assert.Equal(t, upTo(15), got.seen)
	})
}

func TestABatchBeginsWhenItsFirstEventHasWaitedLongEnough(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		got := newBatches()
		jitney.SubscribeBatch(b, "s", got.handle, jitney.WithBatch(100, time.Second))
		for i := range 5 {
			require.NoError(t, b.Publish(t.Context(), fact{N: i}))
			time.Sleep(300 * time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Equal(t, []int{4, 1}, got.got(), "a second after the first, and after the fifth")
		assert.Equal(t, []time.Duration{time.Second, 2200 * time.Millisecond}, got.at)
	})
}

func TestTheWaitOfABatchBeginsAlsoWhileTheHandlerIsBusy(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		got := newBatches()
		jitney.SubscribeBatch(b, "s", func(ctx context.Context, list []fact) error {
			got.note(list)
			time.Sleep(10 * time.Second)
			return nil
		}, jitney.WithBatch(100, 3*time.Second))
		require.NoError(t, b.Publish(t.Context(), fact{N: 0}))
		time.Sleep(4 * time.Second) // handled from the third second to the thirteenth
		require.NoError(t, b.Publish(t.Context(), fact{N: 1}))
		time.Sleep(8 * time.Second)
		require.NoError(t, b.Publish(t.Context(), fact{N: 2}))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		assert.Equal(t, []time.Duration{3 * time.Second, 13 * time.Second}, got.at)
		assert.Equal(t, []int{1, 2}, got.got())
	})
}

func TestFlushAndShutdownAndCloseDoNotWaitForABatchToFill(t *testing.T) {
	for name, end := range map[string]func(context.Context, *jitney.Bus, *jitney.Subscription) error{
		"flush":    func(ctx context.Context, b *jitney.Bus, _ *jitney.Subscription) error { return b.Flush(ctx) },
		"shutdown": func(ctx context.Context, b *jitney.Bus, _ *jitney.Subscription) error { return b.Shutdown(ctx) },
		"close":    func(ctx context.Context, _ *jitney.Bus, s *jitney.Subscription) error { return s.Close(ctx) },
	} {
		for _, workers := range []int{0, 1, 4} {
			t.Run(fmt.Sprint(name, workers), func(t *testing.T) {
				bubble(t, func(t *testing.T, b *jitney.Bus) {
					got := newBatches()
					opts := []jitney.SubscribeOption{jitney.WithBatch(100, time.Hour)}
					if workers > 0 {
						opts = append(opts, jitney.WithWorkers(workers))
					}
					s := jitney.SubscribeBatch(b, "s", got.handle, opts...)
					require.NoError(t, b.Publish(t.Context(), facts(0, 7)...))
					synctest.Wait()
					assert.Empty(t, got.got())
					require.NoError(t, end(t.Context(), b, s))
					assert.Equal(t, []int{7}, got.got())
					assert.Zero(t, time.Since(got.begin))
					assert.EqualValues(t, 7, s.Stats().Handled)
				})
			})
		}
	}
}

// TestFlushHurriesWhatHandlersPublishToBatches: also what comes while it waits.
func TestFlushHurriesWhatHandlersPublishToBatches(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		got := newBatches()
		jitney.SubscribeBatch(b, "s", func(ctx context.Context, list []fact) error {
			got.note(list)
			if list[0].N < 5 {
				return b.Publish(ctx, fact{N: list[0].N + 1})
			}
			return nil
		}, jitney.WithBatch(100, time.Hour))
		require.NoError(t, b.Publish(t.Context(), fact{}))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, upTo(6), got.seen)
		assert.Zero(t, time.Since(got.begin))
	})
}

func TestAFullQueueIsABatch(t *testing.T) {
	for _, policy := range []jitney.Overflow{jitney.Block, jitney.Reject, jitney.DropOldest} {
		bubble(t, func(t *testing.T, b *jitney.Bus) {
			got := newBatches()
			jitney.SubscribeBatch(b, "s", got.handle, jitney.WithBatch(100, time.Hour), jitney.WithBuffer(3), jitney.WithOverflow(policy))
			for i := range 9 {
				require.NoError(t, b.Publish(t.Context(), fact{N: i}))
				synctest.Wait()
			}
			assert.Equal(t, []int{3, 3, 3}, got.got())
			assert.Zero(t, time.Since(got.begin))
		})
	}
}

func TestBatchErrorTriesAgainWhatFailedAlone(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		letters := &jitney.MemoryDeadLetters{}
		got := newBatches()
		attempts := map[int]int{}
		s := jitney.SubscribeBatch(b, "s", func(ctx context.Context, list []fact) error {
			got.note(list)
			errs := make([]error, len(list))
			for i, f := range list {
				attempts[f.N]++
				switch {
				case f.N == 2 && attempts[2] < 3, f.N == 6:
					errs[i] = errBoom
				case f.N == 3:
					errs[i] = jitney.Skip(errBoom)
				case f.N == 4:
					errs[i] = jitney.Permanent(errBoom)
				}
			}
			return &jitney.BatchError{Errs: errs}
		}, jitney.WithBatch(8, time.Hour), jitney.WithDeadLetters(letters),
			jitney.WithRetry(jitney.Retry{Attempts: 3, Base: time.Second, Jitter: jitney.NoJitter}))
		require.NoError(t, b.Publish(t.Context(), facts(0, 8)...))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []int{8, 2, 2}, got.got())
		assert.Equal(t, append(upTo(8), 2, 6, 2, 6), got.seen)
		assert.Equal(t, []time.Duration{0, time.Second, 3 * time.Second}, got.at)
		st := s.Stats()
		assert.Equal(t, [5]uint64{8, 5, 1, 2, 4}, [5]uint64{st.Accepted, st.Handled, st.Skipped, st.Dead, st.Retried})
		dead, err := letters.List(t.Context(), jitney.DeadLetterFilter{})
		require.NoError(t, err)
		require.Len(t, dead, 2)
		assert.Equal(t, [2]int{1, 3}, [2]int{dead[0].Attempts, dead[1].Attempts})
	})
}

func TestABatchErrorThatEndsEarlyLeavesTheRestForLater(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		got := newBatches()
		failed := false
		s := jitney.SubscribeBatch(b, "s", func(ctx context.Context, list []fact) error {
			got.note(list)
			var errs []error
			for _, f := range list {
				if f.N == 2 && !failed {
					failed = true
					return &jitney.BatchError{Errs: append(errs, errBoom)}
				}
				errs = append(errs, nil)
			}
			return nil
		}, jitney.WithBatch(5, time.Hour), jitney.WithRetry(jitney.Retry{Base: time.Second, Jitter: jitney.NoJitter}))
		require.NoError(t, b.Publish(t.Context(), facts(0, 5)...))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []int{0, 1, 2, 3, 4, 2, 3, 4}, got.seen)
		assert.Equal(t, time.Second, time.Since(got.begin))
		assert.EqualValues(t, 1, s.Stats().Retried)
		assert.Zero(t, s.Stats().Spared)
	})
}

// TestAPoisonedEventDiesAlone: a batch that fails as a whole is halved until the culprit stands alone.
func TestAPoisonedEventDiesAlone(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error":        func() error { return errBoom },
		"panic":        func() error { panic("boom") },
		"goexit":       func() error { runtime.Goexit(); return nil },
		"too long":     func() error { return &jitney.BatchError{Errs: make([]error, 1000)} },
		"says nothing": func() error { return &jitney.BatchError{} },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *jitney.Bus) {
				letters := &jitney.MemoryDeadLetters{}
				got := newBatches()
				s := jitney.SubscribeBatch(b, "s", func(_ context.Context, list []fact) error {
					got.note(list)
					if slices.ContainsFunc(list, func(f fact) bool { return f.N == 5 }) {
						return fail()
					}
					return nil
				}, jitney.WithBatch(8, time.Hour), jitney.WithDeadLetters(letters))
				require.NoError(t, b.Publish(t.Context(), facts(0, 8)...))
				require.NoError(t, b.Flush(t.Context()))
				assert.Equal(t, []int{8, 4, 4, 2, 1, 1, 2}, got.got())
				st := s.Stats()
				assert.Equal(t, [4]uint64{7, 1, 0, 8 + 4 + 2}, [4]uint64{st.Handled, st.Dead, st.Retried, st.Spared})
				dead, err := letters.List(t.Context(), jitney.DeadLetterFilter{})
				require.NoError(t, err)
				require.Len(t, dead, 1)
				assert.Equal(t, 5, dead[0].Envelope.Event.(fact).N)
				assert.Equal(t, 1, dead[0].Attempts)
			})
		})
	}
}

func TestABatchThatFailedAsAWholeIsLogged(t *testing.T) {
	var log logged
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		jitney.SubscribeBatch(b, "s", func(_ context.Context, list []fact) error {
			if len(list) > 1 {
				return errBoom
			}
			return nil
		}, jitney.WithBatch(8, time.Hour))
		require.NoError(t, b.Publish(t.Context(), facts(0, 8)...))
		require.NoError(t, b.Flush(t.Context()))
	}, jitney.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	line := log.line("failed as a whole")
	assert.Contains(t, line, "subscriber=s")
	assert.Contains(t, line, "events=8")
	assert.Contains(t, line, "error=boom")
}

// TestSteeringErrorsTellOfEachEventOfABatch: a batch that asks to come again comes again whole.
func TestSteeringErrorsTellOfEachEventOfABatch(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		got := newBatches()
		answers := []error{jitney.RetryAfter(time.Minute, errBoom), errBoom, jitney.Permanent(errBoom), jitney.Skip(errBoom)}
		answers = slices.Delete(answers, 1, 2)
		s := jitney.SubscribeBatch(b, "s", func(_ context.Context, list []fact) error {
			got.note(list)
			answer := answers[0]
			answers = answers[1:]
			return answer
		}, jitney.WithBatch(4, time.Hour), jitney.WithRetry(jitney.Retry{}))
		require.NoError(t, b.Publish(t.Context(), facts(0, 8)...))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []int{4, 4, 4}, got.got())
		assert.Equal(t, slices.Concat(upTo(4), upTo(8)), got.seen)
		assert.Equal(t, []time.Duration{0, time.Minute, time.Minute}, got.at)
		st := s.Stats()
		assert.Equal(t, [3]uint64{4, 4, 4}, [3]uint64{st.Dead, st.Skipped, st.Retried})
	})
}
