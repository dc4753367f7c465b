package oteltest

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/jitney-go/jitney"
)

// traceLog is a slog handler that keeps each message with the span that its context has.
type traceLog struct {
	slog.Handler

	mu    sync.Mutex
	spans map[string][]trace.SpanContext
}

func (l *traceLog) Enabled(context.Context, slog.Level) bool { return true }

func (l *traceLog) Handle(ctx context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spans[r.Message] = append(l.spans[r.Message], trace.SpanContextFromContext(ctx))
	return nil
}

// A log line has the context of the attempt it is about, so that it leads to its trace; and there is a line
// for what has gone wrong alone.
func TestLogLinesLeadToTheTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &traceLog{Handler: slog.DiscardHandler, spans: make(map[string][]trace.SpanContext)}
		r := newRig(sdktrace.AlwaysSample(), jitney.WithLogger(slog.New(log)))
		jitney.Subscribe(r.Bus, "s", func(_ context.Context, p placed) error {
			switch p.N {
			case 1:
				return errBoom
			case 2:
				time.Sleep(time.Minute)
			case 3:
				return jitney.Skip(nil)
			}
			return nil
		}, jitney.WithSlowAfter(time.Minute/2))
		for n := range 100 {
			require.NoError(t, r.Publish(t.Context(), placed{N: n}))
		}
		require.NoError(t, r.Shutdown(t.Context()))
		handle, publish := r.ended("handle orders.placed"), r.ended("publish orders.placed")
		require.Len(t, log.spans, 3, "%v", log.spans)
		for message, want := range map[string]trace.SpanContext{
			"jitney: dead letter":     handle[1].SpanContext,
			"jitney: handler is slow": publish[2].SpanContext,
			"jitney: skipped":         handle[3].SpanContext, // at level debug
		} {
			require.Len(t, log.spans[message], 1, message)
			assert.Equal(t, want.SpanID(), log.spans[message][0].SpanID(), message)
		}
	})
}
