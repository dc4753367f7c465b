package oteltest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/baggage"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/examples/orderflow/intake"
	"github.com/jitney-go/jitney/examples/orderflow/shop"
)

// A placed order is one trace through eight modules, from the request that brought it.
func TestOrderIsOneTraceThroughEightModules(t *testing.T) {
	r := newRig(sdktrace.AlwaysSample())
	tp := sdktrace.NewTracerProvider(sdktrace.WithSyncer(r.spans))
	s := shop.New(shop.Config{}, jitney.WithTracerProvider(tp))
	ctx, request := r.tracer.Start(t.Context(), "POST /orders")
	require.NoError(t, s.Bus.Publish(ctx, intake.Received{Invoice: "1", Customer: "ann", Total: 4200}))
	request.End()
	require.NoError(t, s.Bus.Shutdown(t.Context()))

	subscribers := make(map[string]int)
	byID := make(map[trace.SpanID]tracetest.SpanStub)
	all := r.spans.GetSpans()
	for _, span := range all {
		byID[span.SpanContext.SpanID()] = span
	}
	for _, span := range all {
		assert.Zero(t, span.DroppedAttributes, span.Name)
		assert.Equal(t, request.SpanContext().TraceID(), span.SpanContext.TraceID(), span.Name)
		if span.Name == "POST /orders" {
			continue
		}
		assert.Equal(t, trace.SpanKindInternal, span.SpanKind)
		parent, ok := byID[span.Parent.SpanID()]
		require.True(t, ok, "%s has no parent", span.Name)
		if name := attr(span, "jitney.subscriber"); name != "" {
			subscribers[name]++
			assert.Equal(t, "publish "+attr(span, "jitney.event.type"), parent.Name)
			assert.Equal(t, attr(parent, "jitney.event.id"), attr(span, "jitney.event.id"))
		} else if parent.Name != "POST /orders" {
			assert.True(t, strings.HasPrefix(parent.Name, "handle "), "%s is published by a handler", span.Name)
			assert.Equal(t, attr(parent, "jitney.event.id"), attr(span, "jitney.causation_id"))
		}
	}
	assert.Len(t, subscribers, 8, "%v", subscribers)
}

func TestEachAttemptIsASpan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(sdktrace.AlwaysSample())
		letters := &jitney.MemoryDeadLetters{}
		calls := 0
		s := jitney.Subscribe(r.Bus, "billing", func(ctx context.Context, _ placed) error {
			if calls++; calls <= 3 {
				return fmt.Errorf("try %d: %w", calls, errBoom)
			}
			return r.Publish(ctx, charged{})
		}, jitney.WithDeadLetters(letters), jitney.WithRetry(jitney.Retry{Attempts: 3, Base: time.Second, Max: time.Second, Jitter: jitney.NoJitter}))
		ctx, request := r.tracer.Start(t.Context(), "request")
		s.Pause() // it is delayed
		require.NoError(t, r.Publish(ctx, placed{}))
		time.Sleep(time.Hour)
		request.End()
		s.Resume()
		require.NoError(t, r.Flush(t.Context()))
		list, err := letters.List(t.Context(), jitney.DeadLetterFilter{})
		require.NoError(t, err)
		require.NoError(t, r.Redeliver(t.Context(), list[0]))
		require.NoError(t, r.Shutdown(t.Context()))

		handle := r.ended("handle orders.placed")
		assert.Equal(t, "1:retry 2:retry 3:dead 1:handled", story(handle))
		publish := r.ended("publish orders.placed")[0]
		for i, span := range handle {
			assert.Equal(t, request.SpanContext().TraceID(), span.SpanContext.TraceID())
			assert.Equal(t, publish.SpanContext.SpanID(), span.Parent.SpanID(), "attempts are siblings")
			assert.Equal(t, i < 3, failed(span))
		}
		assert.Equal(t, time.Second, handle[1].StartTime.Sub(handle[0].EndTime), "the wait is seen")
		assert.EqualValues(t, 1, event(handle[0], "retry").Attributes[0].Value.AsFloat64())
		assert.Equal(t, "boom", handle[0].Status.Description[7:])
		assert.Equal(t, "*errors.errorString", attr(handle[0], "error.type"))
		assert.NotEmpty(t, event(handle[2], "exception").Attributes)
		assert.Equal(t, list[0].ID.String(), event(handle[2], "dead letter").Attributes[0].Value.AsString())
		assert.Equal(t, "1", attr(handle[3], "jitney.redeliveries"))
		cascade := r.ended("publish payments.charged")[0]
		assert.Equal(t, handle[3].SpanContext.SpanID(), cascade.Parent.SpanID())
	})
}

func TestSkipPanicAndGoexitAreSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(sdktrace.AlwaysSample())
		jitney.Subscribe(r.Bus, "s", func(_ context.Context, p placed) error {
			switch p.N {
			case 0:
				return jitney.Skip(errors.New("not mine"))
			case 1:
				panic("kaboom")
			default:
				runtime.Goexit()
			}
			return nil
		})
		require.NoError(t, r.Publish(t.Context(), placed{N: 0}, placed{N: 1}, placed{N: 2}))
		require.NoError(t, r.Shutdown(t.Context()))
		handle := r.ended("handle orders.placed")
		require.Len(t, handle, 3, "each has ended")
		assert.Equal(t, "1:skipped 1:dead 1:lost", story(handle))
		assert.False(t, failed(handle[0]))
		assert.Equal(t, "not mine", event(handle[0], "skip").Attributes[0].Value.AsString())
		assert.Contains(t, fmt.Sprint(event(handle[1], "exception").Attributes), "trace_test.go", "with the stack")
		assert.True(t, failed(handle[2]))
	})
}

func TestRefusedPublicationIsSeen(t *testing.T) {
	r := newRig(sdktrace.AlwaysSample())
	s := jitney.Subscribe(r.Bus, "s", func(context.Context, placed) error { return nil }, jitney.WithSync())
	s.Pause()
	require.Error(t, r.Publish(t.Context(), placed{}))
	require.Error(t, r.Publish(t.Context(), charged{}, nil))
	publish := append(r.ended("publish orders.placed"), r.ended("publish payments.charged")...)
	require.Len(t, publish, 2)
	assert.Contains(t, attr(publish[0], "jitney.refused"), "s")
	assert.True(t, failed(publish[0]))
	assert.Contains(t, publish[1].Status.Description, "nil", "none of them was published")
	require.NoError(t, r.Shutdown(t.Context()))
}

func TestSynchronousHandlerIsWithinThePublication(t *testing.T) {
	r := newRig(sdktrace.AlwaysSample())
	jitney.Subscribe(r.Bus, "s", func(context.Context, placed) error { return nil }, jitney.WithSync())
	ctx, request := r.tracer.Start(t.Context(), "request")
	require.NoError(t, r.Publish(ctx, placed{}, placed{}))
	for i, h := range r.ended("handle orders.placed") {
		p := r.ended("publish orders.placed")[i]
		assert.Equal(t, p.SpanContext.SpanID(), h.Parent.SpanID())
		assert.Equal(t, request.SpanContext().SpanID(), p.Parent.SpanID())
		assert.False(t, h.EndTime.After(p.EndTime))
	}
	require.NoError(t, r.Shutdown(t.Context()))
}

func TestSpanLinksGiveEachHandlingATraceOfItsOwn(t *testing.T) {
	r := newRig(sdktrace.AlwaysSample(), jitney.WithSpanLinks())
	jitney.Subscribe(r.Bus, "s", func(context.Context, placed) error { return nil })
	require.NoError(t, r.Publish(t.Context(), placed{}))
	require.NoError(t, r.Shutdown(t.Context()))
	h, p := r.ended("handle orders.placed")[0], r.ended("publish orders.placed")[0]
	assert.NotEqual(t, p.SpanContext.TraceID(), h.SpanContext.TraceID())
	assert.False(t, h.Parent.IsValid())
	require.Len(t, h.Links, 1)
	assert.Equal(t, p.SpanContext.SpanID(), h.Links[0].SpanContext.SpanID())
}

// What is not sampled stays so, and has no headers; what is has them, for other processes.
func TestSamplingGoesWithTheFlow(t *testing.T) {
	for sampler, want := range map[sdktrace.Sampler]int{sdktrace.NeverSample(): 0, sdktrace.AlwaysSample(): 1} {
		r := newRig(sdktrace.ParentBased(sampler))
		var header, parent string
		var inside trace.SpanContext
		jitney.Subscribe(r.Bus, "s", func(ctx context.Context, _ placed) error {
			header, inside = jitney.FromContext(ctx).Headers["traceparent"], trace.SpanContextFromContext(ctx)
			parent, _ = jitney.FromContext(ctx).TraceParent()
			return nil
		})
		ctx, request := r.tracer.Start(t.Context(), "request")
		require.NoError(t, r.Publish(ctx, placed{}))
		require.NoError(t, r.Shutdown(t.Context()))
		assert.Len(t, r.ended("handle orders.placed"), want)
		assert.Equal(t, want == 1, header != "")
		assert.Equal(t, request.SpanContext().TraceID(), inside.TraceID())
		assert.Equal(t, want == 1, inside.IsSampled())
		assert.True(t, strings.HasPrefix(parent, "00-"+inside.TraceID().String()), "also what is not sampled has one, for other processes")
		assert.True(t, strings.HasSuffix(parent, fmt.Sprintf("-%02d", want)))
	}
}

// An envelope from elsewhere brings its trace in its headers.
func TestForwardedEnvelopeGoesOnWithItsTrace(t *testing.T) {
	from, to := newRig(sdktrace.AlwaysSample()), newRig(sdktrace.AlwaysSample())
	var env jitney.Envelope
	jitney.Subscribe(from.Bus, "s", func(ctx context.Context, _ placed) error {
		e := jitney.FromContext(ctx).Envelope
		env = jitney.Envelope{ID: e.ID, Type: e.Type, Version: 1, Time: e.Time, Correlation: e.Correlation, Headers: e.Headers, Event: e.Event}
		return nil
	})
	require.NoError(t, from.Publish(t.Context(), placed{}))
	require.NoError(t, from.Shutdown(t.Context()))
	jitney.Subscribe(to.Bus, "s", func(context.Context, placed) error { return nil })
	require.NoError(t, to.Forward(t.Context(), &env))
	require.NoError(t, to.Shutdown(t.Context()))
	p, h := from.ended("publish orders.placed")[0], to.ended("handle orders.placed")[0]
	assert.Equal(t, p.SpanContext.SpanID(), h.Parent.SpanID())
	assert.True(t, h.Parent.IsRemote())
}

func TestBaggageTravelsByPermissionAndNeverMixes(t *testing.T) {
	r := newRig(sdktrace.NeverSample(), jitney.WithBaggage("tenant"))
	var mu sync.Mutex
	seen := make(map[string]int)
	jitney.Subscribe(r.Bus, "first", func(ctx context.Context, p placed) error { return r.Publish(ctx, charged{N: p.N}) }, jitney.WithWorkers(4))
	jitney.Subscribe(r.Bus, "second", func(ctx context.Context, c charged) error {
		b := baggage.FromContext(ctx)
		mu.Lock()
		defer mu.Unlock()
		if got := b.Member("tenant").Value(); got != fmt.Sprint("t", c.N%2) || b.Len() != 1 {
			seen["wrong: "+b.String()]++
		}
		seen[b.Member("tenant").Value()]++
		return nil
	}, jitney.WithWorkers(4))
	var publishers sync.WaitGroup
	for tenant := range 2 {
		publishers.Go(func() {
			b, err := baggage.Parse(fmt.Sprintf("tenant=t%d,session=hush", tenant))
			assert.NoError(t, err)
			ctx := baggage.ContextWithBaggage(context.Background(), b)
			for n := range 500 {
				assert.NoError(t, r.Publish(ctx, placed{N: 2*n + tenant, Secret: fmt.Sprint(n % 7)}))
			}
		})
	}
	publishers.Wait()
	require.NoError(t, r.Shutdown(t.Context()))
	assert.Equal(t, map[string]int{"t0": 500, "t1": 500}, seen)
}

func TestBaggageStaysBehindByDefault(t *testing.T) {
	r := newRig(sdktrace.AlwaysSample())
	jitney.Subscribe(r.Bus, "s", func(ctx context.Context, _ placed) error {
		assert.Zero(t, baggage.FromContext(ctx).Len())
		assert.Empty(t, jitney.FromContext(ctx).Headers["baggage"])
		return nil
	})
	b, err := baggage.Parse("tenant=t1")
	require.NoError(t, err)
	require.NoError(t, r.Publish(baggage.ContextWithBaggage(t.Context(), b), placed{}))
	require.NoError(t, r.Shutdown(t.Context()))
}

// The global SDK is found if it is there before the bus; and, by the API's own stand-in, if it comes later. It
// can be installed once in a process: each run of the test has one of its own.
func TestGlobalSDK(t *testing.T) {
	if os.Getenv("JITNEY_GLOBAL_SDK") == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestGlobalSDK$", "-test.count=1")
		cmd.Env = append(os.Environ(), "JITNEY_GLOBAL_SDK=1")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return
	}
	none := otel.GetTracerProvider()
	later := jitney.New(jitney.WithTracerProvider(none))
	off := jitney.New()
	r := newRig(sdktrace.AlwaysSample())
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(r.spans)))
	before := jitney.New()
	for i, b := range []*jitney.Bus{off, before, later} {
		jitney.Subscribe(b, "s", func(context.Context, placed) error { return nil })
		require.NoError(t, b.Publish(t.Context(), placed{}))
		require.NoError(t, b.Shutdown(t.Context()))
		assert.Len(t, r.ended("handle orders.placed"), i)
	}
}

func TestNothingSecretIsSeen(t *testing.T) {
	const canary = "CANARY-7f3a"
	r := newRig(sdktrace.AlwaysSample(), jitney.WithPublishHook(func(_ context.Context, env *jitney.Envelope) error {
		if env.Headers == nil {
			env.Headers = make(map[string]string)
		}
		env.Headers["authorization"] = canary
		return nil
	}))
	jitney.Subscribe(r.Bus, "s", func(_ context.Context, p placed) error { return errBoom },
		jitney.WithDeadLetters(&jitney.MemoryDeadLetters{}), jitney.WithRetry(jitney.Retry{Attempts: 2, Base: 1}))
	require.NoError(t, r.Publish(t.Context(), placed{Secret: canary}))
	require.NoError(t, r.Shutdown(t.Context()))
	require.NotEmpty(t, r.spans.GetSpans())
	for _, span := range r.spans.GetSpans() {
		assert.NotContains(t, fmt.Sprintf("%+v", span), canary)
	}
	assert.NotContains(t, fmt.Sprintf("%+v", r.metrics(t)), canary)
}

// A correlation id from outside may look like an event's ID; it is not taken for it.
func TestCorrelationFromOutsideIsNotTheEventsID(t *testing.T) {
	r := newRig(sdktrace.AlwaysSample())
	const request = "0198c1f2-aaaa-7bbb-8ccc-dddddddddddd"
	var heard *jitney.Delivery
	jitney.Subscribe(r.Bus, "billing", func(ctx context.Context, _ placed) error {
		heard = jitney.FromContext(ctx)
		return nil
	})
	require.NoError(t, r.Publish(jitney.ContextWithCorrelation(t.Context(), request), placed{}))
	require.NoError(t, r.Shutdown(t.Context()))
	for _, name := range []string{"publish orders.placed", "handle orders.placed"} {
		spans := r.ended(name)
		require.Len(t, spans, 1)
		assert.Equal(t, heard.ID.String(), attr(spans[0], "jitney.event.id"))
		assert.Equal(t, request, attr(spans[0], "jitney.correlation_id"))
	}
}
