package oteltest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/jitney-go/jitney"
)

// TestPublishedCountsWhatWasPublished: not what was refused, and what is for later once it is due.
func TestPublishedCountsWhatWasPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(sdktrace.NeverSample(), jitney.WithPublishHook(func(_ context.Context, env *jitney.Envelope) error {
			if p, ok := env.Event.(placed); ok && p.N == 1 {
				return errBoom
			}
			return nil
		}))
		published := func() float64 { return value(t, r.metrics(t)["jitney.events.published"], typ, "orders.placed") }
		var env *jitney.Envelope
		jitney.Subscribe(r.Bus, "s", func(ctx context.Context, _ placed) error { env = jitney.FromContext(ctx).Envelope; return nil })
		require.NoError(t, r.Publish(t.Context(), placed{N: 0}))
		require.Error(t, r.Publish(t.Context(), placed{N: 0}, placed{N: 1}))
		require.NoError(t, r.Flush(t.Context()))
		assert.InDelta(t, 1, published(), 0)
		require.NoError(t, r.Forward(t.Context(), env))
		require.NoError(t, r.Forward(t.Context(), env, "s"))
		assert.InDelta(t, 2, published(), 0, "to one of those who heard it: that is no publication")
		_, err := r.Schedule(t.Context(), time.Now().Add(time.Hour), placed{N: 0})
		require.NoError(t, err)
		assert.InDelta(t, 2, published(), 0)
		time.Sleep(2 * time.Hour)
		assert.InDelta(t, 3, published(), 0)
		require.NoError(t, r.Shutdown(t.Context()))
	})
}
