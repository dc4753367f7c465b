package jitney_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/jitney-go/jitney"
)

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
			assert.Equal(t, "request-1", d.CorrelationID())
			assert.Equal(t, "s", d.Subscriber)
			assert.Equal(t, 1, d.Attempt)
			derived, cancel := context.WithCancel(ctx)
			defer cancel()
			assert.NoError(t, derived.Err())
			kept = ctx
			return nil
		})
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), stranger{}, "value"))
		ctx = trace.ContextWithSpanContext(jitney.ContextWithCorrelation(ctx, "request-1"), span)
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

// thrower misbehaves in every part that an application may supply, for so many calls.
type thrower struct {
	jitney.MemoryInbox
	jitney.MemoryDeadLetters
	jitney.Retry
	throw func()
	times int
}

func (t *thrower) may() {
	if t.times--; t.times >= 0 {
		t.throw()
	}
}

func (t *thrower) Run(ctx context.Context, key jitney.InboxKey, handle func(context.Context) error) error {
	t.may()
	return t.MemoryInbox.Run(ctx, key, handle)
}

func (t *thrower) Add(ctx context.Context, l jitney.DeadLetter) error {
	t.may()
	return t.MemoryDeadLetters.Add(ctx, l)
}

func (t *thrower) Next(attempt int, elapsed time.Duration, random float64) (time.Duration, bool) {
	t.may()
	return t.Retry.Next(attempt, elapsed, random)
}

func TestPartsThatThrowCostNoOtherDelivery(t *testing.T) {
	for how, throw := range map[string]func(){
		"panic":  func() { panic("boom") },
		"Goexit": runtime.Goexit,
	} {
		for what, option := range map[string]func(*thrower) jitney.SubscribeOption{
			"inbox":        func(p *thrower) jitney.SubscribeOption { return jitney.WithIdempotency(p) },
			"letter store": func(p *thrower) jitney.SubscribeOption { return jitney.WithDeadLetters(p) },
			"retry policy": func(p *thrower) jitney.SubscribeOption { return jitney.WithRetry(p) },
		} {
			t.Run(how+" in "+what, func(t *testing.T) {
				bubble(t, func(t *testing.T, b *jitney.Bus) {
					s := jitney.Subscribe(b, "s", func(_ context.Context, f fact) error {
						if f.N == 0 {
							return errBoom
						}
						return nil
					}, option(&thrower{throw: throw, times: 3, Retry: jitney.Retry{Attempts: 2}}))
					require.NoError(t, b.Publish(t.Context(), fact{N: 0}, fact{N: 1}, fact{N: 0}, fact{N: 1}))
					require.NoError(t, b.Flush(t.Context()))
					st := s.Stats()
					assert.Equal(t, uint64(4), st.Handled+st.Dead)
					assert.GreaterOrEqual(t, st.Dead, uint64(2))
					assert.Zero(t, st.Unaccounted())
				})
			})
		}
	}
}

func TestGoexitEndsTheGoroutineOfASynchronousHandlersPublisher(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s := jitney.Subscribe(b, "s", func(context.Context, fact) error { runtime.Goexit(); return nil }, jitney.WithSync())
		ended := make(chan bool)
		go func() {
			returned := false
			defer func() { ended <- returned }()
			_ = b.Publish(context.Background(), fact{})
			returned = true
		}()
		assert.False(t, <-ended)
		assert.EqualValues(t, 1, s.Stats().Dead)
	})
}

func TestASynchronousRetryEndsWithItsPublishersContext(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s := jitney.Subscribe(b, "s", func(context.Context, fact) error { return errBoom }, jitney.WithSync(),
			jitney.WithRetry(jitney.Retry{Base: time.Hour, Max: time.Hour, Jitter: jitney.NoJitter}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := b.Publish(ctx, fact{})
		require.ErrorIs(t, err, errBoom)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.EqualValues(t, 1, s.Stats().Dead)
		assert.Zero(t, s.Stats().Unaccounted())
	})
}
