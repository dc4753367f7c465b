package jitney_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
)

// sequences checks that each (publisher, key) sees its numbers rise by one, and no two handlers of a key
// run at once.
type sequences struct {
	mu      sync.Mutex
	last    map[string]int
	running map[string]bool
	wrong   []string
}

func newSequences() *sequences {
	return &sequences{last: make(map[string]int), running: make(map[string]bool)}
}

func (s *sequences) begin(f fact) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[f.Key] {
		s.wrong = append(s.wrong, "two at once for key "+f.Key)
	}
	s.running[f.Key] = true
}

func (s *sequences) end(f fact, handled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running[f.Key] = false
	if !handled {
		return
	}
	id := fmt.Sprint(f.Key, "/", f.From)
	if f.N != s.last[id] {
		s.wrong = append(s.wrong, fmt.Sprintf("%s: %d after %d", id, f.N, s.last[id]-1))
	}
	s.last[id] = f.N + 1
}

func testOrder(t *testing.T, keys int, opts ...jitney.SubscribeOption) {
	b := jitney.New(silent)
	seen := newSequences()
	var calls atomic.Int64
	opts = append(opts, jitney.WithRetry(jitney.Retry{Attempts: 50, Base: time.Microsecond, Max: 100 * time.Microsecond}))
	jitney.Subscribe(b, "s", func(_ context.Context, f fact) error {
		seen.begin(f)
		failed := calls.Add(1)%20 == 0
		runtime.Gosched()
		seen.end(f, !failed)
		if failed {
			return errBoom
		}
		return nil
	}, opts...)
	const publishers, each = 8, 300
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for n := range each {
				for k := range keys {
					assert.NoError(t, b.Publish(context.Background(), fact{string(rune('a' + k)), p, n}))
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, b.Shutdown(context.Background()))
	assert.Empty(t, seen.wrong)
	assert.EqualValues(t, publishers*each*keys, b.Stats().Handled)
}

func TestG3Order(t *testing.T) {
	t.Run("one lane", func(t *testing.T) { testOrder(t, 4) })
	t.Run("a lane per key", func(t *testing.T) { testOrder(t, 8, jitney.WithWorkers(8), jitney.WithBuffer(16)) })
	t.Run("without key one lane", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *jitney.Bus) {
			var got []int
			jitney.Subscribe(b, "s", func(_ context.Context, e other) error {
				time.Sleep(time.Duration(10-e.N) * time.Millisecond)
				got = append(got, e.N) // -race would see two at once
				return nil
			}, jitney.WithWorkers(8))
			for i := range 10 {
				require.NoError(t, b.Publish(t.Context(), other{i}))
			}
			require.NoError(t, b.Flush(t.Context()))
			assert.Equal(t, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, got)
		})
	})
	t.Run("while one key waits the others flow", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *jitney.Bus) {
			var got []string
			failed := false
			jitney.Subscribe(b, "s", func(_ context.Context, f fact) error {
				if f.Key == "bad" && f.N == 0 && !failed {
					failed = true
					return jitney.RetryAfter(time.Hour, errBoom)
				}
				got = append(got, fmt.Sprint(f.Key, f.N))
				return nil
			}, jitney.WithWorkers(1), jitney.WithRetry(jitney.Retry{}))
			require.NoError(t, b.Publish(t.Context(), fact{"bad", 0, 0}, fact{"bad", 0, 1}, fact{"good", 0, 0}))
			synctest.Wait()
			assert.Equal(t, []string{"good0"}, got)
			require.NoError(t, b.Flush(t.Context()))
			assert.Equal(t, []string{"good0", "bad0", "bad1"}, got)
		})
	})
}

func TestG4OneAtATime(t *testing.T) { testOrder(t, 2, jitney.WithWorkers(8)) }

func TestG5Isolation(t *testing.T) {
	for _, policy := range []jitney.Overflow{jitney.Block, jitney.Reject, jitney.DropOldest} {
		t.Run(fmt.Sprint(policy), func(t *testing.T) {
			bubble(t, func(t *testing.T, b *jitney.Bus) {
				open := make(chan struct{})
				jitney.Subscribe(b, "stuck", func(context.Context, fact) error { <-open; return nil },
					jitney.WithBuffer(2), jitney.WithOverflow(policy))
				var got [9]int
				for i := range got {
					jitney.Subscribe(b, fmt.Sprint("s", i), func(context.Context, fact) error { got[i]++; return nil })
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				for range 100 {
					_ = b.Publish(ctx, fact{}) // stuck refuses what is too much
					synctest.Wait()
				}
				want := 100
				if policy == jitney.Block {
					want = 4 // one in the handler, two queued, and the one whose publisher waits
				}
				for i := range got {
					assert.Equal(t, want, got[i])
				}
				close(open)
			})
		})
	}
}

func TestG7Bounded(t *testing.T) {
	for _, policy := range []jitney.Overflow{jitney.Block, jitney.Reject, jitney.DropOldest} {
		t.Run(fmt.Sprint(policy), func(t *testing.T) {
			bubble(t, func(t *testing.T, b *jitney.Bus) {
				open := make(chan struct{})
				s := jitney.Subscribe(b, "s", func(context.Context, fact) error { <-open; return nil },
					jitney.WithBuffer(100), jitney.WithOverflow(policy))
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				for range 1000 {
					_ = b.Publish(ctx, fact{}) // what is refused is counted below
					synctest.Wait()
					require.LessOrEqual(t, s.Stats().Queued, 100)
				}
				close(open)
			})
		})
	}
}

func TestG8NoCycleDeadlocks(t *testing.T) {
	t.Run("self-publish", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *jitney.Bus) {
			s := jitney.Subscribe(b, "s", func(ctx context.Context, f fact) error {
				if f.N == 0 {
					return nil
				}
				return b.Publish(ctx, fact{N: f.N - 1}, fact{N: f.N - 1})
			}, jitney.WithBuffer(1))
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() { assert.NoError(t, b.Publish(t.Context(), fact{N: 8})) })
			}
			wg.Wait()
			require.NoError(t, b.Flush(t.Context()))
			assert.EqualValues(t, 8*(1<<9-1), s.Stats().Handled)
		})
	})
	t.Run("ping-pong", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *jitney.Bus) {
			jitney.Subscribe(b, "ping", func(ctx context.Context, f fact) error { return b.Publish(ctx, other{f.N}) }, jitney.WithBuffer(1))
			jitney.Subscribe(b, "pong", func(ctx context.Context, o other) error {
				if o.N == 0 {
					return nil
				}
				return b.Publish(ctx, fact{N: o.N - 1})
			}, jitney.WithBuffer(1))
			for range 100 {
				require.NoError(t, b.Publish(t.Context(), fact{N: 40}))
			}
			require.NoError(t, b.Flush(t.Context()))
			assert.EqualValues(t, 2*41*100, b.Stats().Handled)
		})
	})
	t.Run("beyond the reserve", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *jitney.Bus) {
			open := make(chan struct{})
			jitney.Subscribe(b, "full", func(context.Context, other) error { <-open; return nil },
				jitney.WithBuffer(1), jitney.WithReserve(2))
			var errs []error
			jitney.Subscribe(b, "s", func(ctx context.Context, _ fact) error {
				for range 5 {
					errs = append(errs, b.Publish(ctx, other{}))
					time.Sleep(time.Millisecond)
				}
				close(open)
				return nil
			})
			require.NoError(t, b.Publish(t.Context(), fact{}))
			require.NoError(t, b.Flush(t.Context()))
			for i, err := range errs { // one in the handler, one queued, two in the reserve
				assert.Equal(t, i == 4, errors.Is(err, jitney.ErrReserveFull), i)
			}
		})
	})
	t.Run("from outside for the publish timeout at most", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *jitney.Bus) {
			open := make(chan struct{})
			jitney.Subscribe(b, "full", func(context.Context, fact) error { <-open; return nil }, jitney.WithBuffer(1))
			for range 2 {
				require.NoError(t, b.Publish(t.Context(), fact{}))
				synctest.Wait()
			}
			begin := time.Now()
			require.ErrorIs(t, b.Publish(t.Context(), fact{}), jitney.ErrQueueFull)
			assert.Equal(t, 30*time.Second, time.Since(begin))
			close(open)
		})
	})
}

func TestASubscriptionThatHearsNothingHasNoGoroutine(t *testing.T) {
	b := jitney.New(silent)
	before := runtime.NumGoroutine()
	const n = 1000
	var calls atomic.Int64
	for i := range n {
		jitney.Subscribe(b, fmt.Sprint("s", i), func(context.Context, fact) error { calls.Add(1); return nil }, jitney.WithWorkers(2))
	}
	assert.Less(t, runtime.NumGoroutine(), before+n)
	require.NoError(t, b.Publish(t.Context(), fact{}))
	assert.GreaterOrEqual(t, runtime.NumGoroutine(), 2*n, "each has its workers now")
	require.NoError(t, b.Shutdown(t.Context()))
	assert.EqualValues(t, n, calls.Load())
}
