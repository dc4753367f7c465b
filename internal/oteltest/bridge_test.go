package oteltest

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/bridge"
	"github.com/jitney-go/jitney/jitneytest"
	"github.com/jitney-go/jitney/wire"
)

// failing is an engine whose first Append fails.
type failing struct {
	*jitneytest.MemoryJournal
	failed atomic.Bool
}

// Append implements jitney.Journal.
func (f *failing) Append(ctx context.Context, envs ...*jitney.Envelope) error {
	if f.failed.CompareAndSwap(false, true) {
		return errBoom
	}
	return f.MemoryJournal.Append(ctx, envs...)
}

// crossing is two processes with an engine between, and what is seen of them.
type crossing struct {
	shop, billing *rig
	engine        *failing
	ways          []*bridge.Way
	readers       map[string]*sdkmetric.ManualReader // of the bridge's measurements, by side
}

func newCrossing(sampler sdktrace.Sampler) *crossing {
	types := wire.NewTypes()
	wire.Register[placed](types)
	c := &crossing{engine: &failing{MemoryJournal: jitneytest.NewMemoryJournal(types)}, shop: newRig(sampler), billing: newRig(sampler)}
	c.readers = map[string]*sdkmetric.ManualReader{"shop": sdkmetric.NewManualReader(), "billing": sdkmetric.NewManualReader()}
	c.ways = []*bridge.Way{
		bridge.Out[placed](c.ends(c.shop, "shop"), "out"),
		bridge.In[placed](c.ends(c.billing, "billing"), "in"),
	}
	return c
}

func (c *crossing) ends(r *rig, name string) bridge.Ends {
	return bridge.Ends{
		Bus: r.Bus, Here: name, Engine: c.engine, There: "ORDERS", System: "nats", Address: "stream.example:4222", Logger: slog.New(slog.DiscardHandler),
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSyncer(r.spans)), MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(c.readers[name])),
	}
}

func (c *crossing) end(t *testing.T) {
	t.Helper()
	for _, w := range c.ways {
		require.NoError(t, w.Close(t.Context()))
	}
	require.NoError(t, c.shop.Shutdown(t.Context()))
	require.NoError(t, c.billing.Shutdown(t.Context()))
}

// attributes are a span's, as text.
func attributes(s tracetest.SpanStub) map[string]string {
	all := make(map[string]string)
	for _, kv := range s.Attributes {
		all[string(kv.Key)] = kv.Value.String()
	}
	return all
}

func TestTraceGoesOnAcrossABridge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrossing(sdktrace.AlwaysSample())
		jitney.Subscribe(c.billing.Bus, "billing", func(context.Context, placed) error { return nil })
		require.NoError(t, c.shop.Publish(jitney.ContextWithCorrelation(t.Context(), "flow"), placed{"canary", 1}))
		require.NoError(t, c.shop.Flush(t.Context()))
		require.NoError(t, c.ways[1].Bus().Flush(t.Context()))
		require.NoError(t, c.billing.Flush(t.Context()))
		c.end(t)

		published := c.shop.ended("publish orders.placed")[0]
		sends := c.shop.ended("send ORDERS")
		require.Len(t, sends, 2, "each attempt")
		processes := c.billing.ended("process ORDERS")
		require.Len(t, processes, 1)
		handled := c.billing.ended("handle orders.placed")
		require.Len(t, handled, 1, "the way in has a span of its own instead")
		for _, s := range append(append(sends, processes...), handled...) {
			assert.Equal(t, published.SpanContext.TraceID(), s.SpanContext.TraceID(), s.Name)
			assert.NotContains(t, attributes(s), "canary")
		}
		assert.Equal(t, published.SpanContext.SpanID(), processes[0].Parent.SpanID())
		assert.Equal(t, published.SpanContext.SpanID(), handled[0].Parent.SpanID())

		id := attr(published, "jitney.event.id")
		assert.Equal(t, trace.SpanKindProducer, sends[0].SpanKind)
		want := map[string]string{
			"messaging.system": "nats", "messaging.destination.name": "ORDERS", "messaging.operation.name": "send",
			"messaging.operation.type": "send", "messaging.message.id": id, "messaging.message.conversation_id": "flow",
			"server.address": "stream.example", "server.port": "4222",
		}
		assert.Equal(t, want, attributes(sends[1]))
		want["error.type"] = "*errors.errorString"
		assert.True(t, failed(sends[0]))
		assert.Equal(t, want, attributes(sends[0]))

		assert.Equal(t, trace.SpanKindConsumer, processes[0].SpanKind)
		assert.Equal(t, map[string]string{
			"messaging.system": "nats", "messaging.destination.name": "ORDERS", "messaging.operation.name": "process",
			"messaging.operation.type": "process", "messaging.message.id": id, "messaging.message.conversation_id": "flow",
			"messaging.consumer.group.name": "in", "server.address": "stream.example", "server.port": "4222",
		}, attributes(processes[0]))
		for _, s := range append(sends, processes...) {
			require.Len(t, s.Links, 1, s.Name)
			assert.Equal(t, published.SpanContext.SpanID(), s.Links[0].SpanContext.SpanID())
		}
	})
}

func TestBridgeOfWhatNobodyTracedHasNoLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrossing(sdktrace.AlwaysSample())
		env := &jitney.Envelope{ID: [16]byte{1}, Type: "orders.placed", Version: 1, Time: time.Now(), Event: placed{"canary", 1}}
		c.engine.failed.Store(true)
		require.NoError(t, c.engine.Append(t.Context(), env))
		require.NoError(t, c.ways[1].Bus().Flush(t.Context()))
		c.end(t)
		processes := c.billing.ended("process ORDERS")
		require.Len(t, processes, 1)
		assert.Empty(t, processes[0].Links)
		assert.False(t, processes[0].Parent.IsValid())
	})
}

func TestBridgeMeasuresAsTheConventionsSay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrossing(sdktrace.NeverSample())
		require.NoError(t, c.shop.Publish(t.Context(), placed{"canary", 1}, placed{"canary", 2}))
		require.NoError(t, c.shop.Flush(t.Context()))
		require.NoError(t, c.ways[1].Bus().Flush(t.Context()))
		common := []string{"server.address", "stream.example", "server.port", "4222", "messaging.system", "nats", "messaging.destination.name", "ORDERS", "messaging.operation.name"}
		of := func(more ...string) []string { return append(common[:len(common):len(common)], more...) }

		shop := c.metrics(t, "shop")
		assert.EqualValues(t, 2, value(t, shop["messaging.client.sent.messages"], of("send")...))
		assert.EqualValues(t, 1, value(t, shop["messaging.client.sent.messages"], of("send", "error.type", "*errors.errorString")...))
		assert.EqualValues(t, 2, value(t, shop["messaging.client.operation.duration"], of("send")...))
		billing := c.metrics(t, "billing")
		group := []string{"process", "messaging.consumer.group.name", "in"}
		assert.EqualValues(t, 2, value(t, billing["messaging.client.consumed.messages"], of(group...)...))
		assert.EqualValues(t, 2, value(t, billing["messaging.process.duration"], of(group...)...))
		assert.EqualValues(t, 2, value(t, billing["jitney.deliveries.settled"], "jitney.source", "ORDERS",
			"jitney.subscriber", "in", "jitney.event.type", "orders.placed", "jitney.outcome", "handled"), "the way in is a subscription too")
		c.end(t)
	})
}

// metrics collects what the bridge has measured at one side, by name.
func (c *crossing) metrics(t *testing.T, side string) map[string]metricdata.Metrics {
	t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(t, c.readers[side].Collect(context.Background(), &all))
	byName := make(map[string]metricdata.Metrics)
	for _, s := range all.ScopeMetrics {
		for _, m := range s.Metrics {
			byName[m.Name] = m
		}
	}
	return byName
}
