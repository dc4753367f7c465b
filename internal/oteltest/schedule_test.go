package oteltest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/jitneytest"
	"github.com/jitney-go/jitney/wire"
)

// later runs f with a bus in memory, one on a journal, and one with links, in a bubble each.
func later(t *testing.T, f func(t *testing.T, r *rig)) {
	for name, opts := range map[string]func() []jitney.Option{
		"memory": func() []jitney.Option { return nil },
		"links":  func() []jitney.Option { return []jitney.Option{jitney.WithSpanLinks()} },
		"journal": func() []jitney.Option {
			types := wire.NewTypes()
			wire.Register[placed](types)
			return []jitney.Option{jitney.WithJournal(jitneytest.NewMemoryJournal(types))}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, newRig(sdktrace.AlwaysSample(), opts()...)) })
		})
	}
}

// follows asserts that handle is a child of publish, or, in a trace of its own, is linked with it.
func follows(t *testing.T, publish, handle tracetest.SpanStub) {
	t.Helper()
	from := handle.Parent
	if len(handle.Links) > 0 {
		assert.False(t, handle.Parent.IsValid())
		from = handle.Links[0].SpanContext
	} else {
		assert.Equal(t, publish.SpanContext.TraceID(), handle.SpanContext.TraceID())
	}
	assert.Equal(t, publish.SpanContext.SpanID(), from.SpanID())
	assert.Equal(t, attr(publish, "jitney.event.id"), attr(handle, "jitney.event.id"))
}

// An event for later is published, as its trace has it, when Schedule is called; only its handling is later.
func TestAnEventForLaterIsHandledInTheTraceOfWhoScheduledIt(t *testing.T) {
	later(t, func(t *testing.T, r *rig) {
		jitney.Subscribe(r.Bus, "s", func(context.Context, placed) error { return nil })
		ctx, request := r.tracer.Start(t.Context(), "request")
		_, err := r.Schedule(ctx, time.Now().Add(time.Hour), placed{})
		require.NoError(t, err)
		request.End()
		time.Sleep(2 * time.Hour)
		require.NoError(t, r.Shutdown(t.Context()))

		publish, handle := r.ended("publish orders.placed"), r.ended("handle orders.placed")
		require.Len(t, publish, 1, "it has no other one when it is due")
		require.Len(t, handle, 1)
		assert.Equal(t, request.SpanContext().SpanID(), publish[0].Parent.SpanID())
		assert.Equal(t, publish[0].StartTime, publish[0].EndTime)
		assert.GreaterOrEqual(t, handle[0].StartTime.Sub(publish[0].EndTime), time.Hour)
		follows(t, publish[0], handle[0])
	})
}

// Each occurrence of a timetable is a trace of its own, which begins when it is made: when the last one is due.
func TestAnOccurrenceIsATraceOfItsOwn(t *testing.T) {
	later(t, func(t *testing.T, r *rig) {
		var ids []string
		jitney.Subscribe(r.Bus, "s", func(ctx context.Context, _ placed) error {
			ids = append(ids, jitney.FromContext(ctx).ID.String())
			return nil
		})
		tick := r.Recur("tick", jitney.Every(time.Hour), func(time.Time) jitney.Event { return placed{} })
		time.Sleep(2*time.Hour + 30*time.Minute)
		require.NoError(t, tick.Stop(t.Context()))
		require.NoError(t, r.Shutdown(t.Context()))

		publish, handle := r.ended("publish orders.placed"), r.ended("handle orders.placed")
		require.Len(t, publish, 3, "the one that was to come has been made")
		require.Len(t, handle, 2)
		for i, h := range handle {
			assert.False(t, publish[i].Parent.IsValid())
			follows(t, publish[i], h)
			assert.Equal(t, ids[i], attr(h, "jitney.event.id"))
		}
		assert.NotEqual(t, publish[0].SpanContext.TraceID(), publish[1].SpanContext.TraceID())
	})
}

func TestAnEventThatIsNotScheduledIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := func(context.Context, *jitney.Envelope) error { return errBoom }
		r := newRig(sdktrace.AlwaysSample(), jitney.WithPublishHook(refuse))
		_, err := r.Schedule(t.Context(), time.Now().Add(time.Hour), placed{})
		require.ErrorIs(t, err, errBoom)
		tick := r.Recur("tick", jitney.Every(time.Hour), func(time.Time) jitney.Event { return placed{} })
		synctest.Wait()
		require.NoError(t, tick.Stop(t.Context()))
		require.NoError(t, r.Shutdown(t.Context()))
		publish := r.ended("publish orders.placed")
		require.Len(t, publish, 2)
		assert.True(t, failed(publish[0]))
		assert.True(t, failed(publish[1]))
	})
}
