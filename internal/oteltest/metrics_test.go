package oteltest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/jitney-go/jitney"
)

const (
	sub = "jitney.subscriber"
	typ = "jitney.event.type"
	out = "jitney.outcome"
)

// busy has a bus do one of each thing that is measured.
func busy(t *testing.T, r *rig) *jitney.Subscription {
	letters := &jitney.MemoryDeadLetters{}
	s := jitney.Subscribe(r.Bus, "billing", func(_ context.Context, p placed) error {
		time.Sleep(time.Millisecond)
		switch p.N {
		case 0:
			return jitney.Permanent(errBoom)
		case 1:
			return jitney.Skip(nil)
		case 2:
			return errBoom
		}
		return nil
	}, jitney.WithDeadLetters(letters), jitney.WithParking(10), jitney.WithWorkers(2),
		jitney.WithRetry(jitney.Retry{Attempts: 2, Base: time.Second, Jitter: jitney.NoJitter}))
	for n := range 6 {
		require.NoError(t, r.Publish(t.Context(), placed{N: n, Secret: []string{"a", "b", "c", "d", "e", "a"}[n]}))
	}
	require.NoError(t, r.Publish(t.Context(), charged{}))
	require.NoError(t, r.Flush(t.Context()))
	return s
}

func TestMeasurementsAreTheBusesOwnAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(sdktrace.NeverSample())
		s := busy(t, r)
		s.Pause()
		require.NoError(t, r.Publish(t.Context(), placed{N: 3, Secret: "z"}))
		time.Sleep(90 * time.Second)
		m := r.metrics(t)
		st := s.Stats()
		of := func(name string, more ...string) float64 {
			return value(t, m[name], append([]string{sub, "billing", typ, "orders.placed"}, more...)...)
		}
		for name, want := range map[string]float64{
			"jitney.deliveries.accepted": float64(st.Accepted), "jitney.deliveries.refused": 0,
			"jitney.deliveries.duplicates": 0, "jitney.attempts.retried": 1, "jitney.attempts.spared": 0,
			"jitney.attempts.late": 0, "jitney.breaker.opened": 0, "jitney.store.errors": 0, "jitney.watchdog.findings": 0,
			"jitney.queue.depth": 1, "jitney.queue.capacity": 1024, "jitney.queue.oldest_age": 90, "jitney.queue.parked": 1,
			"jitney.queue.paused": 1, "jitney.handlers.running": 0, "jitney.breaker.state": 0, "jitney.dead_letters.held": 2,
			"jitney.queue.time": 5,
		} {
			assert.InDelta(t, want, of(name), 0, name)
		}
		for outcome, want := range map[string]uint64{"handled": st.Handled, "skipped": st.Skipped, "dead": st.Dead, "dropped": 0} {
			assert.InDelta(t, float64(want), of("jitney.deliveries.settled", out, outcome), 0, outcome)
		}
		assert.InDelta(t, 2, of("jitney.attempt.duration", out, "handled"), 0)
		assert.InDelta(t, 2, of("jitney.attempt.duration", out, "dead", "error.type", "*errors.errorString"), 0)
		assert.InDelta(t, 1, of("jitney.attempt.duration", out, "retry", "error.type", "*errors.errorString"), 0)
		assert.InDelta(t, 7, value(t, m["jitney.events.published"], typ, "orders.placed"), 0)
		assert.InDelta(t, 1, value(t, m["jitney.events.unheard"], typ, "payments.charged"), 0)
		assert.InDelta(t, 0, value(t, m["jitney.calls.too_late"]), 0)

		duration := m["jitney.attempt.duration"].Data.(metricdata.Histogram[float64]).DataPoints[0]
		assert.InDelta(t, 1e-6, duration.Bounds[0], 0)
		assert.InDelta(t, 10, duration.Bounds[len(duration.Bounds)-1], 0)

		s.Resume()
		require.Error(t, r.Shutdown(t.Context()), "one is parked")
		require.Error(t, r.Publish(t.Context(), placed{}))
		m = r.metrics(t)
		assert.InDelta(t, 1, value(t, m["jitney.calls.too_late"]), 0, "after shutdown as well")
		assert.InDelta(t, 3, of("jitney.deliveries.settled", out, "handled"), 0)
	})
}

// Each of them happens another number of times.
func TestWhatIsCountedOfTheWholeBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(sdktrace.NeverSample(), jitney.WithRetained[placed](2))
		jitney.Subscribe(r.Bus, "picky", func(context.Context, placed) error { return nil },
			jitney.WithFilter(func(p placed) bool { return p.N > 4 }))
		for n := range 9 { // 5 are filtered, 7 of 9 keys forgotten
			require.NoError(t, r.Publish(t.Context(), placed{N: n, Secret: fmt.Sprint(n)}))
		}
		for range 6 {
			_, err := jitney.Ask(t.Context(), r.Bus, priceOf{})
			require.ErrorIs(t, err, jitney.ErrNoAnswer)
		}
		for n := range 8 { // 3 are due, 4 taken back
			id, err := r.Schedule(t.Context(), time.Now().Add(time.Duration(n)*time.Hour), charged{N: n})
			require.NoError(t, err)
			if n > 3 {
				require.NoError(t, r.Unschedule(t.Context(), id))
			}
		}
		tick := r.Recur("tick", jitney.Every(15*time.Minute), func(time.Time) jitney.Event { panic("kaboom") })
		time.Sleep(2*time.Hour + time.Minute) // 8 occurrences, and the next one
		require.NoError(t, tick.Stop(t.Context()))
		m := r.metrics(t)
		for name, want := range map[string]float64{
			"jitney.events.scheduled": 8, "jitney.events.unscheduled": 4, "jitney.events.due": 3, "jitney.events.left_out": 9,
			"jitney.events.retained": 2, "jitney.events.forgotten": 7, "jitney.questions.unanswered": 6,
		} {
			assert.InDelta(t, want, value(t, m[name]), 0, name)
		}
		assert.InDelta(t, 5, value(t, m["jitney.events.filtered"], sub, "picky", typ, "orders.placed"), 0)
		require.Error(t, r.Shutdown(t.Context()), "one is not due")
	})
}

// The README's table and what a bus measures are the same.
func TestEachMetricIsInTheREADME(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	documented := make(map[string]string)
	for line := range strings.Lines(string(readme)) {
		if cells := strings.Split(line, "|"); strings.HasPrefix(line, "| `jitney.") && len(cells) == 6 {
			documented[strings.Trim(cells[1], " `")] = strings.Trim(cells[3], " `") + " " + strings.TrimSpace(cells[2])
		}
	}
	r := newRig(sdktrace.NeverSample())
	_ = busy(t, r)
	batched(t, r)
	measured := make(map[string]string)
	for name, m := range r.metrics(t) {
		measured[name] = m.Unit + " " + kind(m)
		assert.NotEmpty(t, m.Description, name)
	}
	assert.Equal(t, documented, measured)
	require.Error(t, r.Shutdown(t.Context()))
}

func kind(m metricdata.Metrics) string {
	switch m.Data.(type) {
	case metricdata.Sum[int64]:
		return "counter"
	case metricdata.Histogram[float64], metricdata.Histogram[int64]:
		return "histogram"
	}
	return "gauge"
}

func TestExemplarsLeadToTheTrace(t *testing.T) {
	r := newRig(sdktrace.AlwaysSample())
	jitney.Subscribe(r.Bus, "s", func(context.Context, placed) error { return nil })
	require.NoError(t, r.Publish(t.Context(), placed{}))
	require.NoError(t, r.Shutdown(t.Context()))
	h := r.ended("handle orders.placed")[0]
	for _, name := range []string{"jitney.attempt.duration", "jitney.queue.time"} {
		points := r.metrics(t)[name].Data.(metricdata.Histogram[float64]).DataPoints
		require.NotEmpty(t, points)
		require.Len(t, points[0].Exemplars, 1, name)
		trace, span := h.SpanContext.TraceID(), h.SpanContext.SpanID()
		assert.Equal(t, trace[:], points[0].Exemplars[0].TraceID)
		assert.Equal(t, span[:], points[0].Exemplars[0].SpanID)
	}
}

// Reading the account while it changes, and while subscriptions come and go.
func TestMeasurementsUnderLoad(t *testing.T) {
	r := newRig(sdktrace.TraceIDRatioBased(0.5))
	var publishers sync.WaitGroup
	for p := range 4 {
		publishers.Go(func() {
			s := jitney.Subscribe(r.Bus, fmt.Sprint("s", p), func(ctx context.Context, e placed) error {
				if e.N%7 == 0 {
					return errBoom
				}
				return nil
			}, jitney.WithWorkers(4), jitney.WithBuffer(100_000))
			for n := range 300 {
				assert.NoError(t, r.Publish(context.Background(), placed{N: n, Secret: fmt.Sprint(n % 5)}))
			}
			if p%2 == 0 {
				assert.NoError(t, s.Close(context.Background()))
			}
		})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 50 {
			_ = r.metrics(t)
		}
	}()
	publishers.Wait()
	<-done
	require.NoError(t, r.Shutdown(t.Context()))
	var sum float64
	for _, s := range r.Subscriptions() {
		sum += value(t, r.metrics(t)["jitney.deliveries.accepted"], sub, s.Name(), typ, "orders.placed")
		assert.Zero(t, s.Stats().Unaccounted())
	}
	assert.Positive(t, sum)
	assert.InDelta(t, 1200, value(t, r.metrics(t)["jitney.events.published"], typ, "orders.placed"), 0)
}

func TestNoopProvidersSwitchOff(t *testing.T) {
	b := jitney.New(jitney.WithTracerProvider(tracenoop.NewTracerProvider()), jitney.WithMeterProvider(metricnoop.NewMeterProvider()))
	jitney.Subscribe(b, "s", func(context.Context, placed) error { return nil })
	require.NoError(t, b.Publish(t.Context(), placed{}))
	require.NoError(t, b.Shutdown(t.Context()))
}
