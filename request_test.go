package jitney_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/jitney-go/jitney"
)

// double is the tests' question: twice N.
type double struct {
	jitney.Returns[int]
	N int
}

func (double) EventType() string { return "test.double" }

// half asks for half of N.
type half struct {
	jitney.Returns[int]
	N int
}

func (half) EventType() string { return "test.half" }

// whoIs has an answer that may be nil.
type whoIs struct{ jitney.Returns[error] }

func (*whoIs) EventType() string { return "test.who_is" }

func doubled(_ context.Context, q double) (int, error) { return 2 * q.N, nil }

// TestG40Questions has handlers and others ask at once, while someone listens to everything: each gets the answer to its
// own question, or its own failure, and nothing of that is an event, comes again, or is left.
func TestG40Questions(t *testing.T) {
	const askers, questions = 8, 200
	letters := &jitney.MemoryDeadLetters{}
	b := jitney.New(silent, jitney.WithDeadLetters(letters), jitney.WithRetry(jitney.Retry{Attempts: 3}), jitney.WithHopLimit(20))
	answerer := jitney.Answer(b, "sums", func(_ context.Context, q double) (int, error) {
		switch {
		case q.N%7 == 0:
			return 0, fmt.Errorf("%w: %d", errBoom, q.N)
		case q.N%11 == 0:
			panic(fmt.Errorf("%w: %d", errBoom, q.N))
		}
		return 2 * q.N, nil
	})
	check := func(ctx context.Context, n int) {
		got, err := jitney.Ask(ctx, b, double{N: n})
		if n%7 == 0 || n%11 == 0 {
			assert.ErrorIs(t, err, errBoom)
			assert.ErrorContains(t, err, "ask test.double of sums: ")
			assert.ErrorContains(t, err, fmt.Sprintf(": %d", n))
			return
		}
		assert.NoError(t, err)
		assert.Equal(t, 2*n, got)
	}
	all := jitney.Subscribe(b, "all", func(_ context.Context, e jitney.Event) error {
		assert.IsType(t, fact{}, e, "a question is no event")
		return nil
	})
	jitney.Subscribe(b, "asker", func(ctx context.Context, f fact) error { check(ctx, f.N); return nil }, jitney.WithWorkers(4))
	jitney.Answer(b, "circle", func(ctx context.Context, q half) (int, error) { return jitney.Ask(ctx, b, q) })

	var wg sync.WaitGroup
	for range askers {
		wg.Go(func() {
			for n := range questions {
				check(t.Context(), n)
				assert.NoError(t, b.Publish(t.Context(), fact{Key: fmt.Sprint(n), N: n}))
			}
		})
	}
	wg.Wait()
	_, err := jitney.Ask(t.Context(), b, half{})
	require.ErrorIs(t, err, jitney.ErrHopLimit)
	assert.ErrorContains(t, err, "asked by circle for test.half")
	require.NoError(t, b.Shutdown(t.Context()))
	_, err = jitney.Ask(t.Context(), b, double{N: 1})
	require.ErrorIs(t, err, jitney.ErrClosed)

	failing := 0
	for n := range questions {
		if n%7 == 0 || n%11 == 0 {
			failing++
		}
	}
	st := answerer.Stats()
	assert.EqualValues(t, 2*askers*questions, st.Accepted, "once for each time that it was asked")
	assert.EqualValues(t, 2*askers*failing, st.Failed)
	assert.Equal(t, st.Accepted, st.Handled+st.Failed)
	assert.EqualValues(t, askers*questions, all.Stats().Handled)
	held, err := letters.Count(t.Context(), jitney.DeadLetterFilter{})
	require.NoError(t, err)
	assert.Zero(t, held)
	assert.Zero(t, b.Stats().Unaccounted())
}

func TestAskReturnsTheAnswer(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s := jitney.Answer(b, "sums", doubled)
		n, err := jitney.Ask(t.Context(), b, double{N: 21})
		require.NoError(t, err)
		assert.Equal(t, 42, n)

		jitney.Answer(b, "nobody", func(context.Context, *whoIs) (error, error) { return nil, nil })
		who, err := jitney.Ask(t.Context(), b, &whoIs{})
		require.NoError(t, err)
		assert.NoError(t, who, "nil is an answer")

		assert.Equal(t, "test.double", s.EventType())
		assert.False(t, s.Durable())
		assert.EqualValues(t, 1, s.Stats().Accepted)
		assert.EqualValues(t, 1, s.Stats().Handled)
	})
}

func TestAFailedQuestionIsItsAskersAlone(t *testing.T) {
	letters := &jitney.MemoryDeadLetters{}
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		calls := 0
		s := jitney.Answer(b, "sums", func(_ context.Context, q double) (int, error) {
			calls++
			if q.N == 0 {
				panic(errBoom)
			}
			return 7, jitney.RetryAfter(time.Hour, errBoom)
		})
		for n := range 2 {
			got, err := jitney.Ask(t.Context(), b, double{N: n})
			require.ErrorIs(t, err, errBoom)
			assert.ErrorContains(t, err, "ask test.double of sums")
			assert.Zero(t, got)
			p, ok := errors.AsType[*jitney.PanicError](err)
			assert.Equal(t, n == 0, ok)
			if ok {
				assert.Contains(t, string(p.Stack), "TestAFailedQuestionIsItsAskersAlone")
			}
		}
		assert.Equal(t, 2, calls, "nothing is tried again")
		assert.EqualValues(t, 2, s.Stats().Failed)
		assert.Zero(t, s.Stats().Dead)
		held, err := letters.Count(t.Context(), jitney.DeadLetterFilter{})
		require.NoError(t, err)
		assert.Zero(t, held)
	}, jitney.WithDeadLetters(letters), jitney.WithRetry(jitney.Retry{Attempts: 3}))
}

func TestGoexitInAnAnswererFailsTheQuestionAndTheAskersDelivery(t *testing.T) {
	letters := &jitney.MemoryDeadLetters{}
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s := jitney.Answer(b, "sums", func(context.Context, double) (int, error) { runtime.Goexit(); return 0, nil })
		asker := jitney.Subscribe(b, "asker", func(ctx context.Context, f fact) error {
			_, err := jitney.Ask(ctx, b, double{N: f.N})
			return err
		})
		require.NoError(t, b.Publish(t.Context(), fact{}))
		require.NoError(t, b.Flush(t.Context()))
		assert.EqualValues(t, 1, s.Stats().Failed)
		assert.EqualValues(t, 1, asker.Stats().Dead)
		list, err := letters.List(t.Context(), jitney.DeadLetterFilter{})
		require.NoError(t, err)
		require.Len(t, list, 1)
		assert.NotEmpty(t, list[0].History[0].Stack)
	}, jitney.WithDeadLetters(letters))
}

func TestAQuestionWithoutAnswererIsRefusedAndCounted(t *testing.T) {
	log := &logged{}
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		_, err := jitney.Ask(t.Context(), b, double{N: 1})
		require.ErrorIs(t, err, jitney.ErrNoAnswer)
		assert.ErrorContains(t, err, "jitney_test.double")
		assert.EqualValues(t, 1, b.Stats().Unanswered)
		assert.Contains(t, log.line("nobody answers"), "request_test.go")

		var none *whoIs
		_, err = jitney.Ask(t.Context(), b, none)
		require.ErrorIs(t, err, jitney.ErrNilEvent)
		_, err = jitney.Ask[int](t.Context(), b, nil)
		require.ErrorIs(t, err, jitney.ErrNilEvent)
	}, jitney.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
}

func TestAQuestionIsNoEvent(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		heard := 0
		jitney.Subscribe(b, "all", func(context.Context, jitney.Event) error { heard++; return nil })
		jitney.Answer(b, "sums", doubled)
		_, err := jitney.Ask(t.Context(), b, double{})
		require.NoError(t, err)
		require.ErrorIs(t, b.Publish(t.Context(), double{}), jitney.ErrQuestion)
		_, err = b.Schedule(t.Context(), time.Now(), double{})
		require.ErrorIs(t, err, jitney.ErrQuestion)
		require.NoError(t, b.Flush(t.Context()))
		assert.Zero(t, heard)
	})
}

func TestAnswerersAreWiredOnce(t *testing.T) {
	b := jitney.New(silent)
	defer func() { require.NoError(t, b.Shutdown(t.Context())) }()
	jitney.Answer(b, "sums", doubled)
	jitney.Subscribe(b, "facts", ignore)
	for name, c := range map[string]struct {
		wrong    func()
		mentions []string
	}{
		"two answerers": {func() { jitney.Answer(b, "others", doubled) }, []string{`"others"`, `"sums"`, "jitney_test.double", "made at", "request_test.go"}},
		"name taken":    {func() { jitney.Answer(b, "facts", func(context.Context, half) (int, error) { return 0, nil }) }, []string{`"facts"`, "request_test.go"}},
		"nil handler":   {func() { jitney.Answer[half, int](b, "halves", nil) }, []string{"nil"}},
		"nil option":    {func() { jitney.Answer(b, "halves", func(context.Context, half) (int, error) { return 0, nil }, nil) }, []string{"nil"}},
		"an interface": {func() {
			jitney.Answer(b, "any", func(context.Context, jitney.Question[int]) (int, error) { return 0, nil })
		}, []string{"jitney.Question[int]", "interface"}},
		"subscribed to": {func() { jitney.Subscribe(b, "s", func(context.Context, half) error { return nil }) }, []string{"jitney_test.half", "Ask"}},
		"an event's name": {func() {
			jitney.Answer(b, "impostor", func(context.Context, posing) (int, error) { return 0, nil })
		}, []string{"test.fact", "jitney_test.fact", "jitney_test.posing"}},
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
}

// posing is a question under an event's name.
type posing struct{ jitney.Returns[int] }

func (posing) EventType() string { return "test.fact" }

func TestQuestionsContinueTheFlow(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		var asked, told jitney.Delivery
		jitney.Answer(b, "sums", func(ctx context.Context, q double) (int, error) {
			asked = *jitney.FromContext(ctx)
			return 0, b.Publish(ctx, other{N: q.N})
		})
		jitney.Subscribe(b, "told", func(ctx context.Context, _ other) error { told = *jitney.FromContext(ctx); return nil })
		var cause jitney.Delivery
		jitney.Subscribe(b, "asker", func(ctx context.Context, f fact) error {
			cause = *jitney.FromContext(ctx)
			_, err := jitney.Ask(ctx, b, double{N: f.N})
			return err
		})
		require.NoError(t, b.Publish(jitney.ContextWithCorrelation(t.Context(), "flow"), fact{}))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, "sums", asked.Subscriber)
		assert.Equal(t, 1, asked.Attempt)
		assert.Equal(t, "test.double", asked.Type)
		assert.Equal(t, "flow", asked.CorrelationID())
		assert.Equal(t, cause.ID, asked.CausationID)
		assert.Equal(t, 1, asked.Hops)
		assert.Equal(t, asked.ID, told.CausationID)
		assert.Equal(t, "flow", told.CorrelationID())
		assert.Equal(t, 2, told.Hops)
	})
}

type private struct{}

func TestAnswererHasTheAskersTimeAndNoneOfItsValues(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
		var kept context.Context
		jitney.Answer(b, "sums", func(ctx context.Context, q double) (int, error) {
			kept = ctx
			assert.Nil(t, ctx.Value(private{}))
			assert.Equal(t, span, trace.SpanContextFromContext(ctx))
			deadline, ok := ctx.Deadline()
			assert.True(t, ok)
			assert.Equal(t, time.Second, time.Until(deadline))
			if q.N == 0 {
				return 0, nil
			}
			<-ctx.Done()
			return 0, context.Cause(ctx)
		})
		ctx := trace.ContextWithSpanContext(context.WithValue(t.Context(), private{}, 1), span)
		for n, why := range []error{nil, errBoom} {
			ctx, cancel := context.WithTimeoutCause(ctx, time.Second, errBoom)
			_, err := jitney.Ask(ctx, b, double{N: n})
			require.ErrorIs(t, err, why)
			if n == 0 {
				assert.ErrorIs(t, context.Cause(kept), jitney.ErrDeliveryEnded)
			}
			cancel()
		}
		over, cancel := context.WithCancelCause(t.Context())
		cancel(errBoom)
		_, err := jitney.Ask(over, b, double{})
		require.ErrorIs(t, err, errBoom)
	})
}

func TestQuestionsInACircleEndWithTheirChain(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		jitney.Answer(b, "doubles", func(ctx context.Context, q double) (int, error) {
			n, err := jitney.Ask(ctx, b, half{N: q.N})
			return 2 * n, err
		})
		jitney.Answer(b, "halves", func(ctx context.Context, q half) (int, error) {
			n, err := jitney.Ask(ctx, b, double{N: q.N})
			return n / 2, err
		})
		_, err := jitney.Ask(t.Context(), b, double{})
		require.ErrorIs(t, err, jitney.ErrHopLimit)
		assert.ErrorContains(t, err, "test.double would be hop 4 of flow")
		assert.ErrorContains(t, err, "asked by halves for test.half, asked by doubles for test.double, asked by halves for test.half")
		assert.Less(t, len(err.Error()), 400, "one error, not one per hop")
		assert.EqualValues(t, 4, b.Stats().Failed)
	}, jitney.WithHopLimit(3))
}

func TestMiddlewareIsAroundAnswersToo(t *testing.T) {
	around := func(text string, lines *[]string) jitney.AnswerOption {
		return jitney.WithMiddleware(func(next jitney.Handler) jitney.Handler {
			return func(ctx context.Context, e jitney.Event) error {
				*lines = append(*lines, text+" "+e.EventType())
				if q, ok := e.(double); ok && q.N < 0 {
					return nil // it has not passed the question on
				}
				return next(ctx, e)
			}
		})
	}
	var lines []string
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s := jitney.Answer(b, "sums", doubled, around("own", &lines), jitney.WithTimeout(time.Minute))
		n, err := jitney.Ask(t.Context(), b, double{N: 1})
		require.NoError(t, err)
		assert.Equal(t, 2, n)
		_, err = jitney.Ask(t.Context(), b, double{N: -1})
		require.ErrorIs(t, err, jitney.ErrNoAnswer)
		assert.Equal(t, []string{"bus test.double", "own test.double", "bus test.double"}, lines)
		assert.EqualValues(t, 1, s.Stats().Failed)
	}, around("bus", &lines))
}

func TestAnswererTimesOutAndIsNamedWhenSlow(t *testing.T) {
	log := &logged{}
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s := jitney.Answer(b, "sums", func(ctx context.Context, _ double) (int, error) { <-ctx.Done(); return 0, ctx.Err() },
			jitney.WithTimeout(10*time.Second), jitney.WithSlowAfter(time.Second))
		_, err := jitney.Ask(t.Context(), b, double{})
		require.ErrorIs(t, err, jitney.ErrTimeout)
		assert.NotZero(t, s.Stats().Slow)
		assert.Contains(t, log.line("handler is slow"), "subscriber=sums")
	}, jitney.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
}

func TestShutdownWaitsForQuestionsAndAnswersHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(silent)
		jitney.Answer(b, "halves", func(ctx context.Context, q half) (int, error) {
			time.Sleep(time.Second)
			return q.N / 2, nil
		})
		jitney.Answer(b, "sums", func(ctx context.Context, q double) (int, error) {
			time.Sleep(time.Minute)
			n, err := jitney.Ask(ctx, b, half{N: q.N})
			return 4 * n, err
		})
		var wg sync.WaitGroup
		wg.Go(func() {
			n, err := jitney.Ask(t.Context(), b, double{N: 2})
			assert.NoError(t, err)
			assert.Equal(t, 4, n)
		})
		synctest.Wait()
		begin := time.Now()
		down := make(chan error, 1)
		go func() { down <- b.Shutdown(t.Context()) }()
		synctest.Wait()
		_, err := jitney.Ask(t.Context(), b, half{})
		require.ErrorIs(t, err, jitney.ErrClosed)
		assert.EqualValues(t, 1, b.Stats().TooLate)
		require.NoError(t, <-down)
		assert.Equal(t, time.Minute+time.Second, time.Since(begin))
		wg.Wait()
		assert.EqualValues(t, 2, b.Stats().Handled)
	})
}

func TestShutdownNamesTheQuestionThatIsNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(silent)
		stop := make(chan struct{})
		jitney.Answer(b, "stuck", func(ctx context.Context, _ double) (int, error) {
			<-ctx.Done()
			assert.ErrorIs(t, context.Cause(ctx), jitney.ErrDeadline)
			<-stop
			return 1, nil
		})
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := jitney.Ask(t.Context(), b, double{})
			assert.NoError(t, err)
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := b.Shutdown(ctx)
		left, ok := errors.AsType[*jitney.UnhandledError](err)
		require.True(t, ok, "%v", err)
		require.Len(t, left.Unhandled, 1)
		assert.Equal(t, "stuck", left.Unhandled[0].Subscriber)
		assert.True(t, left.Unhandled[0].Running)
		close(stop)
		wg.Wait()
		assert.Zero(t, b.Stats().Unaccounted())
	})
}

func TestAnAnswererIsPausedAndClosed(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s := jitney.Answer(b, "sums", doubled)
		s.Pause()
		_, err := jitney.Ask(t.Context(), b, double{})
		require.ErrorIs(t, err, jitney.ErrPaused)
		s.Resume()
		_, err = jitney.Ask(t.Context(), b, double{})
		require.NoError(t, err)
		require.NoError(t, s.Close(t.Context()))
		_, err = jitney.Ask(t.Context(), b, double{})
		require.ErrorIs(t, err, jitney.ErrNoAnswer)

		jitney.Answer(b, "others", func(context.Context, double) (int, error) { return 0, errBoom })
		_, err = jitney.Ask(t.Context(), b, double{})
		require.ErrorIs(t, err, errBoom)
		assert.EqualValues(t, 3, b.Stats().Accepted+b.Stats().Refused)
	})
}

func TestCloseWaitsForTheQuestionThatRuns(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		var s *jitney.Subscription
		s = jitney.Answer(b, "sums", func(ctx context.Context, q double) (int, error) {
			assert.ErrorIs(t, s.Close(ctx), jitney.ErrReentrant)
			time.Sleep(time.Second)
			return 2 * q.N, nil
		})
		var wg sync.WaitGroup
		wg.Go(func() {
			n, err := jitney.Ask(t.Context(), b, double{N: 1})
			assert.NoError(t, err)
			assert.Equal(t, 2, n)
		})
		synctest.Wait()
		require.NoError(t, s.Close(t.Context()))
		assert.EqualValues(t, 1, s.Stats().Handled)
		wg.Wait()
	})
}

func TestManyAskAtOnce(t *testing.T) {
	b := jitney.New(silent)
	s := jitney.Answer(b, "sums", doubled)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for n := range 500 {
				got, err := jitney.Ask(context.Background(), b, double{N: n})
				if err != nil || got != 2*n {
					t.Errorf("twice %d is %d, %v", n, got, err)
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, b.Shutdown(t.Context()))
	assert.EqualValues(t, 4000, s.Stats().Handled)
}

func TestAnswererOnAClosedBusIsClosed(t *testing.T) {
	b := jitney.New(silent)
	require.NoError(t, b.Shutdown(t.Context()))
	s := jitney.Answer(b, "late", doubled)
	require.NoError(t, s.Close(t.Context()))
	_, err := jitney.Ask(t.Context(), b, double{})
	require.ErrorIs(t, err, jitney.ErrClosed)
}

func TestErrorsOfQuestionsDoNotShowThem(t *testing.T) {
	log := &logged{}
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		_, unheard := jitney.Ask(t.Context(), b, double{N: 987654})
		jitney.Answer(b, "sums", func(context.Context, double) (int, error) { return 0, errBoom })
		_, failed := jitney.Ask(t.Context(), b, double{N: 987654})
		for _, text := range []string{unheard.Error(), failed.Error(), log.line("nobody")} {
			assert.NotEmpty(t, text)
			assert.NotContains(t, text, "987654")
		}
	}, jitney.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
}
