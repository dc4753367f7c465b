package oteltest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/jitney-go/jitney"
)

func TestTwoBusesAreToldApartBySource(t *testing.T) {
	r := rig{reader: sdkmetric.NewManualReader()}
	mp := sdkmetric.NewMeterProvider(sdkmetric.WithReader(r.reader))
	for n, source := range []string{"one", "two"} {
		b := jitney.New(jitney.WithMeterProvider(mp), jitney.WithSource(source))
		jitney.Subscribe(b, "s", func(context.Context, placed) error { return nil }, jitney.WithBuffer(n+10))
		for range n + 2 {
			require.NoError(t, b.Publish(t.Context(), placed{}))
		}
		require.NoError(t, b.Shutdown(t.Context()))
	}
	m := r.metrics(t)
	for n, source := range []string{"one", "two"} {
		of := []string{sub, "s", typ, "orders.placed", "jitney.source", source}
		assert.InDelta(t, n+2, value(t, m["jitney.deliveries.accepted"], of...), 0)
		assert.InDelta(t, n+10, value(t, m["jitney.queue.capacity"], of...), 0)
		assert.InDelta(t, n+2, value(t, m["jitney.queue.time"], of...), 0)
		assert.InDelta(t, n+2, value(t, m["jitney.events.published"], of[2:]...), 0)
		assert.InDelta(t, 0, value(t, m["jitney.calls.too_late"], of[4:]...), 0)
	}
}
