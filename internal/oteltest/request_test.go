package oteltest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/baggage"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/jitney-go/jitney"
)

// priceOf is the tests' question.
type priceOf struct {
	jitney.Returns[int]
	Secret string
}

func (priceOf) EventType() string { return "pricing.price_of" }

func TestAQuestionIsASpanBetweenAskerAndAnswerer(t *testing.T) {
	for name, opts := range map[string][]jitney.Option{"children": nil, "links": {jitney.WithSpanLinks()}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(sdktrace.AlwaysSample(), append(opts, jitney.WithBaggage("tenant"))...)
			jitney.Answer(r.Bus, "pricing", func(ctx context.Context, q priceOf) (int, error) {
				assert.Equal(t, "tenant=acme", baggage.FromContext(ctx).String())
				if q.Secret == "" {
					return 0, errBoom
				}
				return 1, r.Publish(ctx, charged{})
			})
			tenant, err := baggage.Parse("tenant=acme,other=1")
			require.NoError(t, err)
			ctx, request := r.tracer.Start(baggage.ContextWithBaggage(t.Context(), tenant), "request")
			_, err = jitney.Ask(ctx, r.Bus, priceOf{Secret: "s3cret"})
			require.NoError(t, err)
			_, err = jitney.Ask(ctx, r.Bus, priceOf{})
			require.ErrorIs(t, err, errBoom)
			_, err = jitney.Ask[int](ctx, r.Bus, &priceOf{})
			require.ErrorIs(t, err, jitney.ErrNoAnswer)
			request.End()
			m := r.metrics(t)
			require.NoError(t, r.Shutdown(t.Context()))

			asked := r.ended("ask pricing.price_of")
			require.Len(t, asked, 2)
			assert.Equal(t, "1:handled 1:failed", story(asked))
			for i, span := range asked {
				assert.Equal(t, request.SpanContext().SpanID(), span.Parent.SpanID())
				assert.Equal(t, "pricing", attr(span, "jitney.subscriber"))
				assert.Equal(t, i == 1, failed(span))
			}
			published := r.ended("publish payments.charged")
			require.Len(t, published, 1)
			assert.Equal(t, asked[0].SpanContext.SpanID(), published[0].Parent.SpanID())
			assert.Equal(t, attr(asked[0], "jitney.event.id"), attr(published[0], "jitney.causation_id"))

			of := []string{sub, "pricing", typ, "pricing.price_of", out}
			assert.InDelta(t, 1, value(t, m["jitney.deliveries.settled"], append(of, "handled")...), 0)
			assert.InDelta(t, 1, value(t, m["jitney.deliveries.settled"], append(of, "failed")...), 0)
			assert.InDelta(t, 1, value(t, m["jitney.attempt.duration"], append(of, "handled")...), 0)
			assert.InDelta(t, 1, value(t, m["jitney.questions.unanswered"]), 0)
		})
	}
}
