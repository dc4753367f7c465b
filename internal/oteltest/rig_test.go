package oteltest

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/jitney-go/jitney"
)

// placed and charged are the tests' events. Whatever is secret in them must not be seen from outside.
type placed struct {
	Secret string
	N      int
}

func (placed) EventType() string  { return "orders.placed" }
func (p placed) EventKey() string { return p.Secret }

type charged struct{ N int }

func (charged) EventType() string { return "payments.charged" }

var errBoom = errors.New("boom")

// rig is a bus whose spans and measurements are kept.
type rig struct {
	*jitney.Bus
	spans  *tracetest.InMemoryExporter
	reader *sdkmetric.ManualReader
	tracer trace.Tracer
}

func newRig(sampler sdktrace.Sampler, opts ...jitney.Option) *rig {
	r := &rig{spans: tracetest.NewInMemoryExporter(), reader: sdkmetric.NewManualReader()}
	tp := sdktrace.NewTracerProvider(sdktrace.WithSyncer(r.spans), sdktrace.WithSampler(sampler))
	mp := sdkmetric.NewMeterProvider(sdkmetric.WithReader(r.reader))
	r.tracer = tp.Tracer("test")
	r.Bus = jitney.New(append([]jitney.Option{
		jitney.WithLogger(slog.New(slog.DiscardHandler)), jitney.WithTracerProvider(tp), jitney.WithMeterProvider(mp),
	}, opts...)...)
	return r
}

// ended returns the spans of that name, in the order in which they began.
func (r *rig) ended(name string) (list tracetest.SpanStubs) {
	for _, s := range r.spans.GetSpans() {
		if s.Name == name {
			list = append(list, s)
		}
	}
	slices.SortStableFunc(list, func(a, b tracetest.SpanStub) int { return a.StartTime.Compare(b.StartTime) })
	return list
}

// metrics collects, by name.
func (r *rig) metrics(t *testing.T) map[string]metricdata.Metrics {
	t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(t, r.reader.Collect(context.Background(), &all))
	byName := make(map[string]metricdata.Metrics)
	for _, s := range all.ScopeMetrics {
		assert.Equal(t, "github.com/jitney-go/jitney", s.Scope.Name)
		for _, m := range s.Metrics {
			byName[m.Name] = m
		}
	}
	return byName
}

// value returns what a counter or gauge says for those attributes.
func value(t *testing.T, m metricdata.Metrics, attrs ...string) float64 {
	t.Helper()
	want := make([]attribute.KeyValue, 0, len(attrs)/2)
	for i := 0; i < len(attrs); i += 2 {
		kv := attribute.String(attrs[i], attrs[i+1])
		if n, err := strconv.Atoi(attrs[i+1]); err == nil && attrs[i] == "server.port" {
			kv = attribute.Int(attrs[i], n)
		}
		want = append(want, kv)
	}
	set := attribute.NewSet(want...)
	switch data := m.Data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			if p.Attributes.Equals(&set) {
				return float64(p.Value)
			}
		}
	case metricdata.Gauge[int64]:
		for _, p := range data.DataPoints {
			if p.Attributes.Equals(&set) {
				return float64(p.Value)
			}
		}
	case metricdata.Gauge[float64]:
		for _, p := range data.DataPoints {
			if p.Attributes.Equals(&set) {
				return p.Value
			}
		}
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			if p.Attributes.Equals(&set) {
				return float64(p.Count)
			}
		}
	}
	t.Errorf("%s has no point for %v: %+v", m.Name, attrs, m.Data)
	return -1
}

// attr returns a span's attribute as text, or "".
func attr(s tracetest.SpanStub, key string) string {
	for _, kv := range s.Attributes {
		if string(kv.Key) == key {
			return kv.Value.String()
		}
	}
	return ""
}

func event(s tracetest.SpanStub, name string) (found sdktrace.Event) {
	for _, e := range s.Events {
		if e.Name == name {
			return e
		}
	}
	return found
}

func failed(s tracetest.SpanStub) bool { return s.Status.Code == codes.Error }

// story tells each handle span's outcomes, in order.
func story(list tracetest.SpanStubs) string {
	var words []string
	for _, s := range list {
		words = append(words, attr(s, "jitney.attempt")+":"+attr(s, "jitney.outcome"))
	}
	return strings.Join(words, " ")
}
