package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/middleware"
)

type happened struct{ Secret string }

func (happened) EventType() string  { return "test.happened" }
func (h happened) EventKey() string { return h.Secret }

var quiet = jitney.WithLogger(slog.New(slog.DiscardHandler))

func TestRateLimitSpreadsAttemptsAfterABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(quiet)
		begin := time.Now()
		var at []time.Duration
		jitney.Subscribe(b, "s", func(context.Context, happened) error {
			at = append(at, time.Since(begin))
			return nil
		}, jitney.WithMiddleware(middleware.NewRateLimit(10, 3).Middleware))
		for range 6 {
			require.NoError(t, b.Publish(t.Context(), happened{}))
		}
		require.NoError(t, b.Shutdown(t.Context()))
		const ms = time.Millisecond
		assert.Equal(t, []time.Duration{0, 0, 0, 100 * ms, 200 * ms, 300 * ms}, at)
	})
}

func TestRateLimitIsSharedByWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(quiet)
		begin := time.Now()
		jitney.Subscribe(b, "s", func(context.Context, happened) error { return nil },
			jitney.WithWorkers(4), jitney.WithMiddleware(middleware.NewRateLimit(1, 1).Middleware))
		for _, key := range []string{"a", "b", "c", "d"} {
			require.NoError(t, b.Publish(t.Context(), happened{key}))
		}
		require.NoError(t, b.Shutdown(t.Context()))
		assert.Equal(t, 3*time.Second, time.Since(begin))
	})
}

func TestRateLimitGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := middleware.NewRateLimit(0.001, 1)
		h := limit.Middleware(func(context.Context, jitney.Event) error { return nil })
		require.NoError(t, h(t.Context(), happened{}))

		soon, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		require.ErrorIs(t, h(soon, happened{}), context.DeadlineExceeded)
		assert.Zero(t, time.Since(begin), "it knows at once")

		stopped, stop := context.WithCancelCause(t.Context())
		why := errors.New("why")
		go func() { time.Sleep(time.Second); stop(why) }()
		require.ErrorIs(t, h(stopped, happened{}), why)
		assert.Equal(t, middleware.LimitStats{Passed: 1, GaveUp: 2}, limit.Stats())
	})
}

func TestG37Limits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(quiet)
		limit, bulkhead := middleware.NewRateLimit(100, 1), middleware.NewBulkhead(3)
		var mu sync.Mutex
		running, most := 0, 0
		handler := func(context.Context, happened) error {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			defer mu.Unlock()
			running--
			return nil
		}
		for _, name := range []string{"one", "two"} {
			jitney.Subscribe(b, name, handler, jitney.WithWorkers(8),
				jitney.WithMiddleware(bulkhead.Middleware, limit.Middleware))
		}
		begin := time.Now()
		for n := range 15 {
			require.NoError(t, b.Publish(t.Context(), happened{fmt.Sprint(n)}))
		}
		synctest.Wait()
		assert.Equal(t, 13, bulkhead.Stats().Waiting, "of 16 workers")
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, 3, most)
		assert.Equal(t, 10*time.Second, time.Since(begin).Truncate(time.Second), "30 events, 3 at a time")
		st := bulkhead.Stats()
		assert.Equal(t, []uint64{30, 27, 0}, []uint64{st.Passed, st.Waited, st.GaveUp})
		assert.Zero(t, st.Waiting)
		assert.Greater(t, st.Wait, 27*time.Second)
		assert.EqualValues(t, 30, limit.Stats().Passed)
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

func TestBulkheadGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(quiet)
		bulkhead := middleware.NewBulkhead(1)
		s := jitney.Subscribe(b, "s", func(ctx context.Context, _ happened) error {
			<-ctx.Done()
			time.Sleep(time.Millisecond) // the other's context ends before the place is free
			return context.Cause(ctx)
		}, jitney.WithWorkers(2), jitney.WithMiddleware(bulkhead.Middleware))
		require.NoError(t, b.Publish(t.Context(), happened{"a"}, happened{"b"}))
		soon, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var u *jitney.UnhandledError
		require.ErrorAs(t, b.Shutdown(soon), &u)
		require.Len(t, u.Unhandled, 2)
		for _, d := range u.Unhandled {
			require.ErrorIs(t, d.Err, jitney.ErrDeadline)
			assert.Zero(t, d.Attempts, "it has not been its turn")
		}
		assert.Equal(t, uint64(1), bulkhead.Stats().GaveUp)
		assert.Zero(t, s.Stats().Unaccounted())
	})
}

func TestBulkheadFreesThePlaceOfAHandlerThatPanics(t *testing.T) {
	h := middleware.NewBulkhead(1).Middleware(func(context.Context, jitney.Event) error { panic("x") })
	for range 3 {
		assert.Panics(t, func() { _ = h(t.Context(), happened{}) })
	}
	assert.Panics(t, func() { middleware.NewBulkhead(0) })
}

func TestRateLimitOutOfRangePanics(t *testing.T) {
	assert.Panics(t, func() { middleware.NewRateLimit(0, 1) })
	assert.Panics(t, func() { middleware.NewRateLimit(1, 0) })
}

func TestLoggingNamesTheAttemptButNotThePayload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		b := jitney.New(quiet)
		fail := true
		jitney.Subscribe(b, "billing", func(context.Context, happened) error {
			time.Sleep(time.Second)
			if fail {
				fail = false
				return errors.New("card refused")
			}
			return nil
		}, jitney.WithRetry(jitney.Retry{}), jitney.WithMiddleware(middleware.Logging(
			slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))))
		require.NoError(t, b.Publish(t.Context(), happened{"hush"}))
		require.NoError(t, b.Shutdown(t.Context()))
		lines := bytes.Split(bytes.TrimSpace(log.Bytes()), []byte("\n"))
		require.Len(t, lines, 2)
		for i, want := range [][]string{
			{"level=WARN", "attempt=1", "outcome=failed", "card refused"},
			{"level=DEBUG", "attempt=2", "outcome=succeeded"},
		} {
			for _, part := range append(want, "subscriber=billing", "test.happened", "took=1s", "correlation_id") {
				assert.Contains(t, string(lines[i]), part)
			}
		}
		assert.NotContains(t, log.String(), "hush")
	})
}
