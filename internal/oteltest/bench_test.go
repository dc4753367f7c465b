package oteltest

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/jitney-go/jitney"
)

// sdk is an SDK that exports nothing.
func sdk(sampler sdktrace.Sampler) (*sdktrace.TracerProvider, *sdkmetric.MeterProvider) {
	return sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler)),
		sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
}

// bare makes the SDK's calls that one event with one subscriber needs, and nothing else: a span for the
// publication, one for the attempt with the first for its parent, and a measurement; if the span is
// recorded, also the attributes that ours have. byHand does what instrumentation by hand cannot do without
// either: it reads the clock for what it measures, and, for what is sampled, writes the event's ID as text and
// the trace context into a header.
func bare(sampler sdktrace.Sampler, byHand bool) func() {
	tp, mp := sdk(sampler)
	tracer, meter := tp.Tracer("bare"), mp.Meter("bare")
	took, _ := meter.Float64Histogram("took")
	of := []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(
		attribute.String("subscriber", "s"), attribute.String("type", "payments.charged"), attribute.String("outcome", "handled")))}
	event := []attribute.KeyValue{
		attribute.String("type", "orders.placed"), attribute.String("id", "0198c1f2-aaaa-7bbb-8ccc-dddddddddddd"),
		attribute.String("correlation", "0198c1f2-aaaa-7bbb-8ccc-dddddddddddd"),
	}
	attempt := slices.Concat(event, []attribute.KeyValue{attribute.String("subscriber", "s"), attribute.String("outcome", "handled"), attribute.Int("attempt", 1)})
	id := uuid.New()
	return func() {
		seconds := 1e-5
		ctx, p := tracer.Start(context.Background(), "publish orders.placed")
		if p.IsRecording() {
			if byHand {
				event[1] = attribute.String("id", id.String())
				propagation.TraceContext{}.Inject(ctx, propagation.MapCarrier(make(map[string]string, 1)))
			}
			p.SetAttributes(event...)
		}
		p.End()
		ctx, h := tracer.Start(ctx, "handle orders.placed")
		if byHand {
			begin := time.Now()
			seconds = time.Since(begin).Seconds()
		}
		took.Record(ctx, seconds, of...)
		if h.IsRecording() {
			h.SetAttributes(attempt...)
		}
		h.End()
	}
}

// through publishes one event to one synchronous subscriber: all that is done is done in this goroutine.
func through(tb testing.TB, opts ...jitney.Option) func() {
	b := jitney.New(append(opts, jitney.WithLogger(slog.New(slog.DiscardHandler)))...)
	jitney.Subscribe(b, "s", func(context.Context, charged) error { return nil }, jitney.WithSync())
	tb.Cleanup(func() { _ = b.Shutdown(context.Background()) })
	return func() { _ = b.Publish(context.Background(), charged{}) }
}

func with(sampler sdktrace.Sampler) []jitney.Option {
	tp, mp := sdk(sampler)
	return []jitney.Option{jitney.WithTracerProvider(tp), jitney.WithMeterProvider(mp)}
}

// BenchmarkTelemetry compares what telemetry adds to the bus, on less off, with the SDK's own bare calls, and
// with the same done by hand.
func BenchmarkTelemetry(b *testing.B) {
	run := func(name string, f func()) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
	run("off", through(b))
	for name, sampler := range map[string]sdktrace.Sampler{"never": sdktrace.NeverSample(), "always": sdktrace.AlwaysSample()} {
		run(name+"/bare", bare(sampler, false))
		run(name+"/byhand", bare(sampler, true))
		run(name+"/on", through(b, with(sampler)...))
	}
}

// TestAllocations: nothing is allocated that the same done by hand does not allocate.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates on its own; the gate runs this without it")
	}
	count := func(f func()) int { return int(testing.AllocsPerRun(1000, f)) }
	off := count(through(t))
	never, always := sdktrace.NeverSample(), sdktrace.AlwaysSample()
	assert.Equal(t, off+count(bare(never, false)), count(through(t, with(never)...)), "never sampled")
	assert.LessOrEqual(t, count(through(t, with(always)...)), off+count(bare(always, true)), "sampled")
}
