package jitney_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/jitney-go/jitney"
)

// fact is the tests' event.
type fact struct {
	Key  string
	From int // publisher
	N    int
}

func (fact) EventType() string  { return "test.fact" }
func (f fact) EventKey() string { return f.Key }

// other is an event of another type.
type other struct{ N int }

func (other) EventType() string { return "test.other" }

var (
	errBoom = errors.New("boom")
	silent  = jitney.WithLogger(slog.New(slog.DiscardHandler))
)

// bubble runs f in a synctest bubble, with a bus that is shut down at the end with nothing left.
func bubble(t *testing.T, f func(t *testing.T, b *jitney.Bus), opts ...jitney.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(append([]jitney.Option{silent}, opts...)...)
		f(t, b)
		require.NoError(t, b.Shutdown(t.Context()))
		assert.Zero(t, b.Stats().Unaccounted())
	})
}

func ignore(context.Context, fact) error { return nil }

func TestG1Accounting(t *testing.T) {
	b := jitney.New(silent)
	steps := []error{nil, errBoom, jitney.Skip(nil), jitney.Permanent(errBoom), nil}
	var n atomic.Int64
	handler := func(context.Context, fact) error {
		i := n.Add(1)
		if i%97 == 0 {
			panic("boom")
		}
		return steps[i%int64(len(steps))]
	}
	retry := jitney.WithRetry(jitney.Retry{Attempts: 3, Base: time.Microsecond, Max: time.Millisecond})
	jitney.Subscribe(b, "lane", handler, retry)
	jitney.Subscribe(b, "keys", handler, retry, jitney.WithWorkers(4))
	jitney.Subscribe(b, "drops", handler, retry, jitney.WithBuffer(4), jitney.WithOverflow(jitney.DropOldest))
	jitney.Subscribe(b, "rejects", handler, jitney.WithBuffer(4), jitney.WithOverflow(jitney.Reject))
	jitney.Subscribe(b, "sync", handler, jitney.WithSync())

	var publishers, sampler sync.WaitGroup
	for p := range 8 {
		publishers.Go(func() {
			for i := range 500 {
				_ = b.Publish(context.Background(), fact{fmt.Sprint(i % 7), p, i}) // rejects is full at times
			}
		})
	}
	done := make(chan struct{})
	samples := 0
	sampler.Go(func() {
		for {
			for _, s := range b.Subscriptions() {
				st := s.Stats()
				assert.Zero(t, st.Unaccounted(), "%s: %+v", s.Name(), st)
				samples++
			}
			select {
			case <-done:
				return
			default:
				runtime.Gosched()
			}
		}
	})
	publishers.Wait()
	require.NoError(t, b.Flush(context.Background()))
	close(done)
	sampler.Wait()
	for _, s := range b.Subscriptions() {
		st := s.Stats()
		assert.Equal(t, uint64(4000), st.Accepted+st.Refused, s.Name())
		assert.Zero(t, st.Queued+st.Running+st.Waiting, s.Name())
	}
	require.NoError(t, b.Shutdown(context.Background()))
	t.Logf("%d snapshots, all balanced", samples)
}

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

type nasty struct{}

func (*nasty) Error() string { panic("Error panics") }

type cyclic struct{}

func (c cyclic) Error() string { return "cycle" }
func (c cyclic) Unwrap() error { return c }

func TestG6Containment(t *testing.T) {
	throwers := map[string]func() error{
		"panic with a value": func() error { panic(42) },
		"panic with nil":     func() error { panic(nil) },
		"panic with error":   func() error { panic(errBoom) },
		"Goexit":             func() error { runtime.Goexit(); return nil },
		"Error panics":       func() error { return &nasty{} },
		"typed nil":          func() error { var n *nasty; return n },
		"Unwrap cycle":       func() error { return cyclic{} },
		"panic in defer":     func() error { defer func() { panic("second") }(); panic("first") },
		"nil dereference":    func() error { var f *fact; f.N++; return nil },
	}
	places := map[string]func(throw func() error) jitney.SubscribeOption{
		"handler": nil,
		"middleware before": func(throw func() error) jitney.SubscribeOption {
			return jitney.WithMiddleware(func(jitney.Handler) jitney.Handler {
				return func(context.Context, jitney.Event) error { return throw() }
			})
		},
		"middleware after": func(throw func() error) jitney.SubscribeOption {
			return jitney.WithMiddleware(func(next jitney.Handler) jitney.Handler {
				return func(ctx context.Context, e jitney.Event) error { _ = next(ctx, e); return throw() }
			})
		},
	}
	for what, throw := range throwers {
		for where, option := range places {
			t.Run(what+" in "+where, func(t *testing.T) {
				bubble(t, func(t *testing.T, b *jitney.Bus) {
					letters := &jitney.MemoryDeadLetters{}
					opts := []jitney.SubscribeOption{jitney.WithDeadLetters(letters)}
					bad := true
					throwIfBad := func() error {
						if bad {
							return throw()
						}
						return nil
					}
					handler := func(context.Context, fact) error { return nil }
					if option != nil {
						opts = append(opts, option(throwIfBad))
					} else {
						handler = func(context.Context, fact) error { return throwIfBad() }
					}
					s := jitney.Subscribe(b, "s", handler, opts...)
					require.NoError(t, b.Publish(t.Context(), fact{}))
					require.NoError(t, b.Flush(t.Context()))
					bad = false
					require.NoError(t, b.Publish(t.Context(), fact{}))
					require.NoError(t, b.Flush(t.Context()))
					assert.EqualValues(t, 1, s.Stats().Dead)
					assert.EqualValues(t, 1, s.Stats().Handled, "the lane lives on")
					list, err := letters.List(t.Context(), jitney.DeadLetterFilter{})
					require.NoError(t, err)
					require.Len(t, list, 1)
					if strings.HasPrefix(what, "panic") || what == "Goexit" {
						assert.NotEmpty(t, list[0].History[0].Stack)
					}
				})
			})
		}
	}
}

type moody struct{ throw bool }

func (moody) EventType() string { return "test.moody" }
func (m moody) EventKey() string {
	if m.throw {
		panic("EventKey panics")
	}
	return ""
}

func TestPanicInKeyOrHookIsThePublishersError(t *testing.T) {
	hook := jitney.WithPublishHook(func(_ context.Context, env *jitney.Envelope) error {
		if env.Type == "test.other" {
			panic("hook panics")
		}
		return nil
	})
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		n := 0
		jitney.Subscribe(b, "all", func(context.Context, jitney.Event) error { n++; return nil })
		for _, e := range []jitney.Event{moody{true}, other{}} {
			_, ok := errors.AsType[*jitney.PanicError](b.Publish(t.Context(), fact{}, e))
			assert.True(t, ok)
		}
		require.NoError(t, b.Publish(t.Context(), moody{false}))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, 1, n, "nothing of the others was published")
	}, hook)
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

// ring publishes N-1 to the next until 0.
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
				assert.Equal(t, i == 4, errors.Is(err, jitney.ErrOverflow), i)
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

type stranger struct{}

func TestG9Context(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
		var kept context.Context
		jitney.Subscribe(b, "s", func(ctx context.Context, f fact) error {
			time.Sleep(time.Second) // the publisher's context has ended meanwhile
			assert.NoError(t, ctx.Err())
			assert.Nil(t, ctx.Value(stranger{}))
			assert.Equal(t, span.TraceID(), trace.SpanContextFromContext(ctx).TraceID())
			d := jitney.FromContext(ctx)
			assert.Equal(t, "request-1", d.CorrelationID)
			assert.Equal(t, "s", d.Subscriber)
			assert.Equal(t, 1, d.Attempt)
			derived, cancel := context.WithCancel(ctx)
			defer cancel()
			assert.NoError(t, derived.Err())
			kept = ctx
			return nil
		})
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), stranger{}, "value"))
		ctx = trace.ContextWithSpanContext(jitney.WithCorrelation(ctx, "request-1"), span)
		require.NoError(t, b.Publish(ctx, fact{}))
		cancel()
		require.NoError(t, b.Flush(t.Context()))
		<-kept.Done()
		assert.Equal(t, jitney.ErrDeliveryEnded, context.Cause(kept))
		assert.ErrorIs(t, b.Publish(kept, fact{}), jitney.ErrDeliveryEnded)
	})
	t.Run("timeout", func(t *testing.T) {
		bubble(t, func(t *testing.T, b *jitney.Bus) {
			s := jitney.Subscribe(b, "s", func(ctx context.Context, f fact) error {
				<-ctx.Done()
				assert.ErrorIs(t, context.Cause(ctx), jitney.ErrTimeout)
				return nil
			}, jitney.WithTimeout(time.Second))
			require.NoError(t, b.Publish(t.Context(), fact{}))
			require.NoError(t, b.Flush(t.Context()))
			assert.EqualValues(t, 1, s.Stats().Late, "success is success")
		})
	})
	t.Run("deadline", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := jitney.New(silent)
			var cause error
			jitney.Subscribe(b, "s", func(ctx context.Context, f fact) error {
				<-ctx.Done()
				cause = context.Cause(ctx)
				return ctx.Err()
			})
			require.NoError(t, b.Publish(t.Context(), fact{}))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			require.ErrorIs(t, b.Shutdown(ctx), jitney.ErrDeadline)
			assert.Equal(t, jitney.ErrDeadline, cause)
		})
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
		assert.Equal(t, root.ID.String(), root.CorrelationID, "a flow's first event gives it its id")
		assert.Equal(t, root.CorrelationID, child.CorrelationID)
		assert.Equal(t, root.ID, child.CausationID)
		assert.Equal(t, 1, child.Hops)
		assert.Equal(t, -1, bytes.Compare(root.ID[:], child.ID[:]), "IDs rise")
		assert.EqualValues(t, 7, root.ID.Version())
		assert.Empty(t, jitney.FromContext(t.Context()).ID, "outside a handler there is an empty delivery")
	})
}

func TestG10Retry(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		var at []time.Duration
		begin := time.Now()
		jitney.Subscribe(b, "s", func(ctx context.Context, _ fact) error {
			at = append(at, time.Since(begin))
			assert.Equal(t, len(at), jitney.FromContext(ctx).Attempt)
			return errBoom
		}, jitney.WithRetry(jitney.Retry{Attempts: 5, Base: time.Second, Max: 3 * time.Second, Jitter: jitney.NoJitter}))
		require.NoError(t, b.Publish(t.Context(), fact{}))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []time.Duration{0, 1 * time.Second, 3 * time.Second, 6 * time.Second, 9 * time.Second}, at)
	})
}

func TestG11DeadLetters(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		letters := &jitney.MemoryDeadLetters{}
		broken, calls, others := true, 0, 0
		jitney.Subscribe(b, "s", func(context.Context, fact) error {
			calls++
			time.Sleep(time.Millisecond)
			if broken {
				panic("broken")
			}
			return nil
		}, jitney.WithDeadLetters(letters), jitney.WithRetry(jitney.Retry{Attempts: 2}))
		jitney.Subscribe(b, "other", func(context.Context, fact) error { others++; return nil })
		require.NoError(t, b.Publish(t.Context(), fact{Key: "k"}))
		require.NoError(t, b.Flush(t.Context()))
		list, err := letters.List(t.Context(), jitney.DeadLetterFilter{Subscriber: "s"})
		require.NoError(t, err)
		require.Len(t, list, 1)
		l := list[0]
		assert.Equal(t, fact{Key: "k"}, l.Envelope.Event)
		assert.Equal(t, 2, l.Attempts)
		assert.Len(t, l.History, 2)
		assert.Contains(t, l.History[1].Stack, "TestG11DeadLetters")
		assert.Equal(t, jitney.ReasonExhausted, l.Reason)

		require.Error(t, b.Redeliver(t.Context(), l), "it fails again")
		l, err = letters.Get(t.Context(), l.ID)
		require.NoError(t, err, "and is back where it was")
		assert.Equal(t, 4, l.Attempts)
		assert.Equal(t, 1, l.Redeliveries)

		broken, calls = false, 0
		var wg sync.WaitGroup
		var refused atomic.Int64
		for range 50 {
			wg.Go(func() {
				if err := b.Redeliver(t.Context(), l); err != nil {
					assert.True(t, errors.Is(err, jitney.ErrRedelivering) || errors.Is(err, jitney.ErrNoDeadLetter), err)
					refused.Add(1)
				}
			})
		}
		wg.Wait()
		assert.EqualValues(t, 49, refused.Load())
		assert.Equal(t, 1, calls)
		assert.Equal(t, 1, others, "nobody else was bothered")
		_, err = letters.Get(t.Context(), l.ID)
		assert.ErrorIs(t, err, jitney.ErrNoDeadLetter)
	})
}

// failingStore fails so many times before it works.
type failingStore struct {
	jitney.MemoryDeadLetters
	fails int
}

func (f *failingStore) Add(ctx context.Context, l jitney.DeadLetter) error {
	if f.fails--; f.fails >= 0 {
		if f.fails%2 == 0 {
			panic("store panics")
		}
		return errBoom
	}
	return f.MemoryDeadLetters.Add(ctx, l)
}

func TestADeliveryKeepsItsPlaceUntilItsLetterIsStored(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		store := &failingStore{fails: 10}
		var got []int
		s := jitney.Subscribe(b, "s", func(_ context.Context, f fact) error {
			got = append(got, f.N)
			if f.N == 0 {
				return errBoom
			}
			return nil
		}, jitney.WithDeadLetters(store))
		require.NoError(t, b.Publish(t.Context(), fact{N: 0}, fact{N: 1}))
		synctest.Wait()
		assert.Equal(t, 1, s.Stats().Waiting)
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []int{0, 1}, got, "the handler is not called again, and the next one waits")
		n, err := store.Count(t.Context(), jitney.DeadLetterFilter{})
		require.NoError(t, err)
		assert.Equal(t, 1, n)
		assert.EqualValues(t, 10, s.Stats().StoreErrors)
	})
}

func TestG12Idempotency(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		fail, calls := true, 0
		s := jitney.Subscribe(b, "s", func(context.Context, fact) error {
			calls++
			time.Sleep(time.Second)
			if fail {
				fail = false
				return errBoom
			}
			return nil
		}, jitney.WithIdempotency(&jitney.MemoryInbox{}), jitney.WithWorkers(2), jitney.WithIdempotencyKey(func(e jitney.Event) string { return "same" }))
		other := jitney.Subscribe(b, "other", ignore, jitney.WithIdempotency(&jitney.MemoryInbox{}))
		require.NoError(t, b.Publish(t.Context(), fact{N: 1}))
		require.NoError(t, b.Publish(t.Context(), fact{N: 1}))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, 2, calls, "the first failed, so the second ran")
		assert.EqualValues(t, 1, s.Stats().Handled)
		require.NoError(t, b.Publish(t.Context(), fact{N: 1}))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, 2, calls)
		assert.EqualValues(t, 1, s.Stats().Duplicates)
		assert.EqualValues(t, 3, other.Stats().Handled, "these are three events")

		require.NoError(t, b.Publish(t.Context(), fact{N: 2}))
		require.NoError(t, b.Flush(t.Context()))
		assert.EqualValues(t, 2, s.Stats().Dead, "another payload under a used key is no duplicate")
	})
}

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

type shared struct{ text string }

func (*shared) EventType() string { return "test.shared" }

// logged collects log records as text.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) line(part string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.buf.String()) {
		if strings.Contains(line, part) {
			return line
		}
	}
	return ""
}

func TestG16NothingSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logged
		b := jitney.New(jitney.WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
		touched := make(map[string]bool)
		check := func(counter, line string, mentions ...string) {
			t.Helper()
			touched[counter] = true
			if line != "" {
				l := log.line(line)
				require.NotEmpty(t, l, line)
				for _, m := range mentions {
					assert.Contains(t, l, m)
				}
			}
			if f := reflect.ValueOf(b.Stats().Stats).FieldByName(counter); f.IsValid() {
				assert.False(t, f.IsZero(), counter)
			}
		}
		require.NoError(t, b.Publish(t.Context(), fact{}))
		assert.Equal(t, map[string]uint64{"test.fact": 1}, b.Stats().Unheard)
		check("Unheard", "nobody has subscribed", "test.fact")

		open := make(chan struct{})
		jitney.Subscribe(b, "drops", func(context.Context, fact) error { <-open; return nil },
			jitney.WithBuffer(1), jitney.WithOverflow(jitney.DropOldest))
		for range 3 {
			require.NoError(t, b.Publish(t.Context(), fact{}))
			synctest.Wait()
		}
		check("Accepted", "")
		check("Queued", "")
		check("Running", "")
		check("Oldest", "")
		check("Dropped", "delivery dropped", "test.fact", "drops", "bus_test.go")
		time.Sleep(time.Minute)
		check("Slow", "handler is slow", "test.fact", "drops", "bus_test.go")
		close(open)
		require.NoError(t, b.Flush(t.Context()))
		check("Handled", "")

		inbox := &jitney.MemoryInbox{}
		var kept *jitney.Envelope
		jitney.Subscribe(b, "late", func(ctx context.Context, _ other) error {
			kept = jitney.FromContext(ctx).Envelope
			time.Sleep(time.Second)
			return nil
		}, jitney.WithTimeout(time.Millisecond), jitney.WithIdempotency(inbox))
		require.NoError(t, b.Publish(t.Context(), other{}))
		require.NoError(t, b.Flush(t.Context()))
		check("Late", "")
		require.NoError(t, b.Forward(t.Context(), kept, "late"))
		require.NoError(t, b.Flush(t.Context()))
		check("Skipped", "skipped", "test.other", "late")
		check("Duplicates", "duplicate=true", "test.other", "late")

		jitney.Subscribe(b, "dies", func(context.Context, moody) error { return errBoom },
			jitney.WithRetry(jitney.Retry{Attempts: 2, Base: time.Hour, Jitter: jitney.NoJitter}),
			jitney.WithDeadLetters(&failingStore{fails: 1}),
			jitney.WithBuffer(1), jitney.WithOverflow(jitney.Reject))
		require.NoError(t, b.Publish(t.Context(), moody{}))
		synctest.Wait()
		check("Waiting", "")
		require.ErrorIs(t, b.Publish(t.Context(), moody{}), jitney.ErrQueueFull)
		check("Refused", "")
		require.NoError(t, b.Flush(t.Context()))
		check("Retried", "")
		check("Dead", "jitney: dead letter", "test.moody", "dies", "boom", "bus_test.go")
		check("StoreErrors", "dead letter not stored", "test.moody", "dies")

		require.NoError(t, b.Shutdown(t.Context()))
		require.ErrorIs(t, b.Publish(t.Context(), fact{}), jitney.ErrClosed)
		assert.EqualValues(t, 1, b.Stats().TooLate)
		check("TooLate", "refused after shutdown", "fact", "bus_test.go")

		for _, typ := range []reflect.Type{reflect.TypeFor[jitney.Stats](), reflect.TypeFor[jitney.BusStats]()} {
			for f := range typ.Fields() {
				assert.True(t, touched[f.Name] || f.Anonymous, "counter %s has no test here", f.Name)
			}
		}
	})
}

func TestWatchdogNamesAPublisherThatWaits(t *testing.T) {
	var log logged
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		open := make(chan struct{})
		jitney.Subscribe(b, "busy", func(context.Context, fact) error { <-open; return nil }, jitney.WithBuffer(1))
		for range 2 {
			require.NoError(t, b.Publish(t.Context(), fact{}))
			synctest.Wait()
		}
		go func() { time.Sleep(20 * time.Second); close(open) }()
		require.NoError(t, b.Publish(t.Context(), fact{}))
		line := log.line("publisher waits")
		for _, part := range []string{"busy", "test.fact", "bus_test.go", "handler_works_on"} {
			assert.Contains(t, line, part)
		}
	}, jitney.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
}

type impostor struct{}

func (impostor) EventType() string { return "test.fact" }

func TestG17Wiring(t *testing.T) {
	b := jitney.New(silent)
	defer func() { require.NoError(t, b.Shutdown(t.Context())) }()
	jitney.Subscribe(b, "taken", ignore)
	for name, c := range map[string]struct {
		wrong    func()
		mentions []string
	}{
		"name taken":     {func() { jitney.Subscribe(b, "taken", ignore) }, []string{`"taken"`, "bus_test.go"}},
		"two types":      {func() { jitney.Subscribe(b, "s", func(context.Context, impostor) error { return nil }) }, []string{"test.fact", "jitney_test.fact", "jitney_test.impostor"}},
		"pointer beside": {func() { jitney.Subscribe(b, "s", func(context.Context, *fact) error { return nil }) }, []string{"jitney_test.fact", "*jitney_test.fact"}},
		"empty name":     {func() { jitney.Subscribe(b, "", ignore) }, []string{"empty"}},
		"name with LF":   {func() { jitney.Subscribe(b, "a\nb", ignore) }, []string{`\n`}},
		"nil handler":    {func() { jitney.Subscribe[fact](b, "s", nil) }, []string{"nil"}},
		"no buffer":      {func() { jitney.WithBuffer(0) }, []string{"WithBuffer(0)"}},
		"no workers":     {func() { jitney.WithWorkers(-1) }, []string{"WithWorkers(-1)"}},
		"nil logger":     {func() { jitney.WithLogger(nil) }, []string{"WithLogger(nil)"}},
		"nil option":     {func() { jitney.New(nil) }, []string{"nil"}},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				text := fmt.Sprint(recover())
				for _, m := range c.mentions {
					assert.Contains(t, text, m)
				}
			}()
			c.wrong()
			t.Error("no panic")
		})
	}
	require.ErrorIs(t, b.Publish(t.Context(), impostor{}), jitney.ErrTypeConflict)
	require.ErrorIs(t, b.Publish(t.Context(), nil), jitney.ErrNilEvent)
	var none *shared
	require.ErrorIs(t, b.Publish(t.Context(), none), jitney.ErrNilEvent)
}

func TestSynchronousHandlerRunsInItsPublisher(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		var order []string
		jitney.Subscribe(b, "sync", func(ctx context.Context, f fact) error {
			assert.Equal(t, "value", ctx.Value(stranger{}), "the publisher's own context")
			order = append(order, "sync")
			if f.N == 1 {
				return errBoom
			}
			return nil
		}, jitney.WithSync())
		q := jitney.Subscribe(b, "queue", ignore)
		ctx := context.WithValue(t.Context(), stranger{}, "value")
		require.NoError(t, b.Publish(ctx, fact{}))
		assert.Equal(t, []string{"sync"}, order)
		err := b.Publish(ctx, fact{N: 1})
		require.ErrorIs(t, err, errBoom)
		assert.EqualValues(t, 2, q.Stats().Accepted, "the queue has it all the same")
	})
}

type family interface {
	jitney.Event
	isFamily()
}

func (fact) isFamily()  {}
func (other) isFamily() {}

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

func TestTheChainHasOneOrder(t *testing.T) {
	var got []string
	note := func(name string) jitney.Middleware {
		return func(next jitney.Handler) jitney.Handler {
			return func(ctx context.Context, e jitney.Event) error {
				_, limited := ctx.Deadline()
				got = append(got, fmt.Sprint(name, " ", limited))
				return next(ctx, e)
			}
		}
	}
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		jitney.Subscribe(b, "s", func(ctx context.Context, _ fact) error {
			_, limited := ctx.Deadline()
			got = append(got, fmt.Sprint("handler ", limited))
			return nil
		}, jitney.WithTimeout(time.Second), jitney.WithMiddleware(note("own 1"), note("own 2")))
		require.NoError(t, b.Publish(t.Context(), fact{}))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []string{"bus false", "own 1 false", "own 2 false", "handler true"}, got)
	}, jitney.WithMiddleware(note("bus")))
}
