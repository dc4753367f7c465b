package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
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
		}, jitney.WithMiddleware(middleware.RateLimit(10, 3)))
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
			jitney.WithWorkers(4), jitney.WithMiddleware(middleware.RateLimit(1, 1)))
		for _, key := range []string{"a", "b", "c", "d"} {
			require.NoError(t, b.Publish(t.Context(), happened{key}))
		}
		require.NoError(t, b.Shutdown(t.Context()))
		assert.Equal(t, 3*time.Second, time.Since(begin))
	})
}

func TestRateLimitGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := middleware.RateLimit(0.001, 1)(func(context.Context, jitney.Event) error { return nil })
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
	})
}

func TestRateLimitOutOfRangePanics(t *testing.T) {
	assert.Panics(t, func() { middleware.RateLimit(0, 1) })
	assert.Panics(t, func() { middleware.RateLimit(1, 0) })
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
