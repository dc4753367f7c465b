package jitney

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// The trace context travels in the envelope's headers, in the W3C's format, so that it outlives a queue,
// a dead letter and a change of process. The application's global propagator has no say in this.
var w3c propagation.TraceContext

// injectTrace writes ctx's trace context, if it has one, into env's headers.
func injectTrace(ctx context.Context, env *Envelope) {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return
	}
	env.Headers = make(map[string]string, 2)
	w3c.Inject(ctx, propagation.MapCarrier(env.Headers))
}

// withTrace returns parent with the trace context that env came with.
func withTrace(parent context.Context, env *Envelope) context.Context {
	if env.Headers["traceparent"] == "" {
		return parent
	}
	return w3c.Extract(parent, propagation.MapCarrier(env.Headers))
}
