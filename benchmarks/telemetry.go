package benchmarks

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/jitney-go/jitney"
)

// Telemetry measures what the SDK's own calls cost that one event with one subscriber needs, and what
// telemetry adds to the bus, on less off; ns. internal/oteltest has more on this.
func Telemetry(sampled bool, about time.Duration) (bare, added float64) {
	sampler := sdktrace.NeverSample()
	if sampled {
		sampler = sdktrace.AlwaysSample()
	}
	tp := sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler))
	mp := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	calls := sdkCalls(tp, mp)
	off, closeOff := throughBus()
	on, closeOn := throughBus(jitney.WithTracerProvider(tp), jitney.WithMeterProvider(mp))
	defer closeOff()
	defer closeOn()
	var bares, adds []float64
	for range 5 {
		bares = append(bares, perCall(calls, about/15))
		adds = append(adds, perCall(on, about/15)-perCall(off, about/15))
	}
	return Median(bares), Median(adds)
}

// sdkCalls makes a span for the publication, one for the attempt, and a measurement; and counts the event and
// the delivery, which the bus spares its publishers by a callback.
func sdkCalls(tp *sdktrace.TracerProvider, mp *sdkmetric.MeterProvider) func() {
	tracer, meter := tp.Tracer("bare"), mp.Meter("bare")
	took, _ := meter.Float64Histogram("took")
	of := []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(
		attribute.String("subscriber", "s"), attribute.String("type", "order"), attribute.String("outcome", "handled")))}
	published, _ := meter.Int64Counter("published")
	ofType := []metric.AddOption{metric.WithAttributeSet(attribute.NewSet(attribute.String("type", "order")))}
	settled, _ := meter.Int64Counter("settled")
	ofOutcome := []metric.AddOption{metric.WithAttributeSet(attribute.NewSet(
		attribute.String("subscriber", "s"), attribute.String("type", "order"), attribute.String("outcome", "handled")))}
	event := []attribute.KeyValue{
		attribute.String("type", "order"), attribute.String("id", "0198c1f2-aaaa-7bbb-8ccc-dddddddddddd"),
		attribute.String("correlation", "0198c1f2-aaaa-7bbb-8ccc-dddddddddddd"),
	}
	attempt := slices.Concat(event, []attribute.KeyValue{
		attribute.String("subscriber", "s"), attribute.String("outcome", "handled"), attribute.Int("attempt", 1),
	})
	return func() {
		ctx, p := tracer.Start(context.Background(), "publish order")
		if p.IsRecording() {
			p.SetAttributes(event...)
		}
		p.End()
		published.Add(ctx, 1, ofType...)
		ctx, h := tracer.Start(ctx, "handle order")
		took.Record(ctx, 1e-5, of...)
		settled.Add(ctx, 1, ofOutcome...)
		if h.IsRecording() {
			h.SetAttributes(attempt...)
		}
		h.End()
	}
}

// throughBus publishes one event to one synchronous subscriber: all that is done is done in this goroutine.
func throughBus(opts ...jitney.Option) (publish, end func()) {
	b := jitney.New(append(opts, jitney.WithLogger(slog.New(slog.DiscardHandler)))...)
	jitney.Subscribe(b, "s", func(context.Context, Order) error { return nil }, jitney.WithSync())
	o := NewOrder(0, 0)
	return func() { _ = b.Publish(context.Background(), o) }, func() { _ = b.Shutdown(context.Background()) }
}

// perCall returns ns.
func perCall(f func(), about time.Duration) float64 {
	n, begin := 0, time.Now()
	for time.Since(begin) < about {
		for range 256 {
			f()
		}
		n += 256
	}
	return float64(time.Since(begin)) / float64(n)
}

// Median returns the middle of values, or the mean of the two in the middle.
func Median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	if len(s) == 0 {
		return 0
	}
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}
