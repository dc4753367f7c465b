package jitney

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/baggage"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
)

// scopeName names this library to OpenTelemetry.
const scopeName = "github.com/jitney-go/jitney"

// telemetry is how a bus makes itself known to OpenTelemetry.
type telemetry struct {
	tracer  *tracer  // nil without an SDK: that is all that telemetry costs then
	meter   *meter   // likewise
	baggage []string // keys that travel
}

// newTelemetry finds the SDK that c names, or the global one.
func newTelemetry(b *Bus, c busConfig) (t telemetry) {
	t.baggage = c.baggage
	if p := c.tracers; p != nil || installed(otel.GetTracerProvider()) {
		if p == nil {
			p = otel.GetTracerProvider()
		}
		if _, off := p.(tracenoop.TracerProvider); !off {
			t.tracer = &tracer{Tracer: p.Tracer(scopeName), links: c.links}
		}
	}
	if p := c.meters; p != nil || installed(otel.GetMeterProvider()) {
		if p == nil {
			p = otel.GetMeterProvider()
		}
		if _, off := p.(metricnoop.MeterProvider); !off {
			t.meter = newMeter(b, p.Meter(scopeName))
		}
	}
	return t
}

// installed reports whether p is an SDK's, not what the API has in its place.
func installed(p any) bool { return !strings.HasPrefix(fmt.Sprintf("%T", p), "*global.") }

// The trace context travels in the envelope's headers, in the W3C's format, so that it outlives a queue, a
// dead letter and a change of process. The application's global propagator has no say in this. Within the
// process it travels as it is; what is not sampled has no headers, because nobody will look for it.
var (
	w3c        propagation.TraceContext
	w3cBaggage propagation.Baggage
)

// traced is an envelope's trace context, as it travels within the process.
type traced struct {
	span  trace.SpanContext
	route *route

	id, cause string // the event's ID and its cause's as text; "" unless its publication is recorded
}

// carry writes ctx's trace context, and what is allowed of its baggage, into env.
func (b *Bus) carry(ctx context.Context, env *Envelope) {
	if t := env.traced; t != nil {
		env.head(t.span)
	} else if span := trace.SpanFromContext(ctx); span != noSpan {
		if sc := span.SpanContext(); sc.IsValid() {
			env.head(sc)
		}
	}
	if len(b.telemetry.baggage) == 0 {
		return
	}
	if bag := b.telemetry.allowed(baggage.FromContext(ctx)); bag.Len() > 0 {
		if env.Headers == nil {
			env.Headers = make(map[string]string, 1)
		}
		w3cBaggage.Inject(baggage.ContextWithBaggage(context.Background(), bag), propagation.MapCarrier(env.Headers))
	}
}

// noSpan is what a context without a span gives.
var noSpan = trace.SpanFromContext(context.Background())

// head writes a sampled trace context into the headers.
func (e *Envelope) head(sc trace.SpanContext) {
	if !sc.IsSampled() {
		return
	}
	e.Headers = map[string]string{"traceparent": traceparent(sc)}
	if state := sc.TraceState().String(); state != "" {
		e.Headers["tracestate"] = state
	}
}

// TraceParent returns the trace context that e was published with, as the W3C's headers traceparent and
// tracestate: what Headers have, or what travels with e because nothing of it is sampled. Both are "" without one.
func (e *Envelope) TraceParent() (parent, state string) {
	if parent := e.Headers["traceparent"]; parent != "" {
		return parent, e.Headers["tracestate"]
	}
	if t := e.traced; t != nil && t.span.IsValid() {
		return traceparent(t.span), t.span.TraceState().String()
	}
	return "", ""
}

// traceparent is the W3C's header: version 00, trace, parent, flags.
func traceparent(sc trace.SpanContext) string {
	var text [55]byte
	id, parent := sc.TraceID(), sc.SpanID()
	copy(text[:], "00-")
	hex.Encode(text[3:], id[:])
	text[35] = '-'
	hex.Encode(text[36:], parent[:])
	text[52] = '-'
	hex.Encode(text[53:], []byte{byte(sc.TraceFlags())})
	return string(text[:])
}

// allowed is the part of a baggage that travels.
func (tel *telemetry) allowed(all baggage.Baggage) (some baggage.Baggage) {
	for _, key := range tel.baggage {
		if m := all.Member(key); m.Key() != "" {
			if with, err := some.SetMember(m); err == nil {
				some = with
			}
		}
	}
	return some
}

// carried returns parent with the trace context and the baggage that env came with.
func (b *Bus) carried(parent context.Context, env *Envelope) context.Context {
	switch t := env.traced; {
	case t != nil && t.span.IsValid():
		parent = trace.ContextWithSpanContext(parent, t.span)
	case env.Headers != nil && env.Headers["traceparent"] != "":
		parent = w3c.Extract(parent, propagation.MapCarrier(env.Headers))
	}
	if len(b.telemetry.baggage) == 0 || env.Headers["baggage"] == "" {
		return parent
	}
	ctx := w3cBaggage.Extract(context.Background(), propagation.MapCarrier(env.Headers))
	return baggage.ContextWithBaggage(parent, b.telemetry.allowed(baggage.FromContext(ctx)))
}
