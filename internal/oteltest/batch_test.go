package oteltest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/jitney-go/jitney"
)

// batched has a batch of three and one of one, of which an event has failed.
func batched(t *testing.T, r *rig) {
	jitney.SubscribeBatch(r.Bus, "batches", func(ctx context.Context, list []charged) error {
		errs := make([]error, len(list))
		if len(list) == 3 {
			errs[1] = errBoom
		}
		return &jitney.BatchError{Errs: errs}
	}, jitney.WithBatch(3, time.Hour), jitney.WithRetry(jitney.Retry{Base: 1}))
	require.NoError(t, r.Publish(t.Context(), charged{1}, charged{2}, charged{3}))
	require.NoError(t, r.Flush(t.Context()))
}

func TestABatchIsOneSpanWithALinkToEachEvent(t *testing.T) {
	r := newRig(sdktrace.AlwaysSample())
	batched(t, r)
	published := r.ended("publish payments.charged")
	spans := r.ended("handle batch payments.charged")
	require.Len(t, published, 3)
	require.Len(t, spans, 2)
	require.Len(t, spans[0].Links, 3)
	for i, l := range spans[0].Links {
		assert.Equal(t, published[i].SpanContext.SpanID(), l.SpanContext.SpanID())
	}
	assert.False(t, spans[0].Parent.IsValid())
	assert.Contains(t, spans[0].Attributes, attribute.Int("messaging.batch.message_count", 3))
	assert.Contains(t, spans[0].Attributes, attribute.String("jitney.outcome", "mixed"))
	assert.Contains(t, spans[1].Attributes, attribute.String("jitney.outcome", "handled"))
	require.NoError(t, r.Shutdown(t.Context()))
}
