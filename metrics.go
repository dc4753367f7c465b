package jitney

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// meter makes a bus's measurements. Counters and gauges are the bus's own account, read when somebody asks
// for them; only the histograms are recorded as things happen, with the attempt's context, so that their
// exemplars lead to its trace. All attributes are names known from wiring, or outcomes, or Go types of errors.
type meter struct {
	duration metric.Float64Histogram
	queued   metric.Float64Histogram
	batch    metric.Int64Histogram
}

// measured is what a measurement of a subscription is about.
type measured struct{ outcome, class string }

// buckets reach from 1 µs to 10 s.
var buckets = []float64{
	1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3,
	1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
}

// counters are the monotonic parts of a subscription's account. The README has a table of all metrics.
var counters = []struct {
	name, unit, text string
	outcome          string // what the deliveries counted have in common
	value            func(Stats) uint64
}{
	{"jitney.deliveries.accepted", "{delivery}", "Deliveries taken on.", "", func(s Stats) uint64 { return s.Accepted }},
	{"jitney.deliveries.refused", "{delivery}", "Deliveries not taken on: queue full, paused or closed.", "", func(s Stats) uint64 { return s.Refused }},
	{"jitney.deliveries.settled", "{delivery}", "Deliveries that have ended, by outcome.", "handled", func(s Stats) uint64 { return s.Handled }},
	{"jitney.deliveries.settled", "{delivery}", "Deliveries that have ended, by outcome.", "skipped", func(s Stats) uint64 { return s.Skipped }},
	{"jitney.deliveries.settled", "{delivery}", "Deliveries that have ended, by outcome.", "dead", func(s Stats) uint64 { return s.Dead }},
	{"jitney.deliveries.settled", "{delivery}", "Deliveries that have ended, by outcome.", "dropped", func(s Stats) uint64 { return s.Dropped }},
	{"jitney.deliveries.settled", "{delivery}", "Deliveries that have ended, by outcome.", "recalled", func(s Stats) uint64 { return s.Recalled }},
	{"jitney.deliveries.settled", "{delivery}", "Deliveries that have ended, by outcome.", "failed", func(s Stats) uint64 { return s.Failed }},
	{"jitney.events.filtered", "{event}", "Events that a filter has kept out.", "", func(s Stats) uint64 { return s.Filtered }},
	{"jitney.deliveries.duplicates", "{delivery}", "Deliveries skipped because the inbox knew them.", "", func(s Stats) uint64 { return s.Duplicates }},
	{"jitney.attempts.retried", "{attempt}", "Attempts that failed and were followed by another.", "", func(s Stats) uint64 { return s.Retried }},
	{"jitney.attempts.spared", "{attempt}", "Attempts that failed and were not used up: thanks to the breaker, or in a batch that failed as a whole.", "", func(s Stats) uint64 { return s.Spared }},
	{"jitney.attempts.late", "{attempt}", "Attempts that succeeded after their timeout.", "", func(s Stats) uint64 { return s.Late }},
	{"jitney.breaker.opened", "{time}", "Times that the breaker has opened.", "", func(s Stats) uint64 { return s.Opened }},
	{"jitney.store.errors", "{error}", "Failures of the dead-letter store, of the inbox, and of opening or reading the journal.", "", func(s Stats) uint64 { return s.StoreErrors }},
	{"jitney.events.unknown", "{event}", "Events of the journal put aside: this program cannot decode them.", "", func(s Stats) uint64 { return s.Unknown }},
	{"jitney.watchdog.findings", "{finding}", "Slow handlers and waiting publishers that the watchdog has named.", "", func(s Stats) uint64 { return s.Slow }},
}

// busCounters are those of the whole bus.
var busCounters = []struct {
	name, unit, text string
	value            func(b *Bus) uint64
}{
	{"jitney.events.scheduled", "{event}", "Events taken on for later, by this process.", func(b *Bus) uint64 { return b.schedule.scheduled.Load() }},
	{"jitney.events.unscheduled", "{event}", "Events for later taken back.", func(b *Bus) uint64 { return b.schedule.unscheduled.Load() }},
	{"jitney.events.due", "{event}", "Events for later published when they were due.", func(b *Bus) uint64 { return b.schedule.published.Load() }},
	{"jitney.events.left_out", "{event}", "Occurrences of a timetable that could not be made.", func(b *Bus) uint64 { return b.schedule.leftOut.Load() }},
	{"jitney.events.forgotten", "{event}", "Retained events that have given way to those of other keys.", func(b *Bus) uint64 { _, n := b.retention.counts(); return n }},
	{"jitney.questions.unanswered", "{question}", "Questions of a type that nobody answers.", func(b *Bus) uint64 { return b.unanswered.Load() }},
	{"jitney.calls.too_late", "{call}", "Calls of Publish, Forward, Ask and Redeliver after the start of Shutdown.", func(b *Bus) uint64 { return b.late.Load() }},
}

// gauges are the states of a subscription.
var gauges = []struct {
	name, unit, text string
	value            func(s *Subscription, st Stats) float64
}{
	{"jitney.queue.depth", "{delivery}", "Deliveries queued or waiting for another attempt.", func(_ *Subscription, s Stats) float64 { return float64(s.Queued + s.Waiting) }},
	{"jitney.queue.capacity", "{delivery}", "What the queue holds at most, without its reserve.", func(s *Subscription, _ Stats) float64 { return float64(s.queue.limit) }},
	{"jitney.queue.oldest_age", "s", "Age of the oldest delivery that has not ended.", func(_ *Subscription, s Stats) float64 { return s.age(time.Now()).Seconds() }},
	{"jitney.queue.parked", "{delivery}", "Deliveries parked behind a dead letter of their key.", func(_ *Subscription, s Stats) float64 { return float64(s.Parked) }},
	{"jitney.queue.paused", "{state}", "1 while the subscription is paused, else 0.", func(_ *Subscription, s Stats) float64 {
		if s.Paused {
			return 1
		}
		return 0
	}},
	{"jitney.handlers.running", "{handler}", "Handlers that run.", func(_ *Subscription, s Stats) float64 { return float64(s.Running) }},
	{"jitney.breaker.state", "{state}", "0 closed, 1 half-open, 2 open.", func(_ *Subscription, s Stats) float64 { return float64(s.Breaker) }},
}

func (s Stats) age(now time.Time) time.Duration {
	if s.Oldest.IsZero() {
		return 0
	}
	return max(now.Sub(s.Oldest), 0)
}

// newMeter makes the instruments, and lets the SDK read b's account. An SDK that cannot make one reports
// that itself (otel.Handle), and returns one that does nothing.
func newMeter(b *Bus, m metric.Meter) *meter {
	mt := &meter{}
	mt.duration, _ = m.Float64Histogram("jitney.attempt.duration", metric.WithUnit("s"),
		metric.WithDescription("How long attempts took, by outcome."), metric.WithExplicitBucketBoundaries(buckets...))
	mt.queued, _ = m.Float64Histogram("jitney.queue.time", metric.WithUnit("s"),
		metric.WithDescription("How long deliveries waited for their first attempt."), metric.WithExplicitBucketBoundaries(buckets...))
	mt.batch, _ = m.Int64Histogram("jitney.batch.size", metric.WithUnit("{event}"),
		metric.WithDescription("Events in a batch."), metric.WithExplicitBucketBoundaries(1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500))
	var all []metric.Observable
	count := make(map[string]metric.Int64ObservableCounter)
	for _, c := range counters {
		if count[c.name] == nil {
			count[c.name], _ = m.Int64ObservableCounter(c.name, metric.WithUnit(c.unit), metric.WithDescription(c.text))
			all = append(all, count[c.name])
		}
	}
	gauge := make([]metric.Float64ObservableGauge, len(gauges))
	for i, g := range gauges {
		gauge[i], _ = m.Float64ObservableGauge(g.name, metric.WithUnit(g.unit), metric.WithDescription(g.text))
		all = append(all, gauge[i])
	}
	letters, _ := m.Int64ObservableGauge("jitney.dead_letters.held", metric.WithUnit("{letter}"),
		metric.WithDescription("Dead letters of the subscriber in its store."))
	publishedEvents, _ := m.Int64ObservableCounter("jitney.events.published", metric.WithUnit("{event}"),
		metric.WithDescription("Events published, by type."))
	unheard, _ := m.Int64ObservableCounter("jitney.events.unheard", metric.WithUnit("{event}"),
		metric.WithDescription("Events published that nobody had subscribed to, by type."))
	retained, _ := m.Int64ObservableGauge("jitney.events.retained", metric.WithUnit("{event}"),
		metric.WithDescription("Events kept for late subscribers."))
	all = append(all, letters, publishedEvents, unheard, retained)
	whole := make([]metric.Int64ObservableCounter, len(busCounters))
	for i, c := range busCounters {
		whole[i], _ = m.Int64ObservableCounter(c.name, metric.WithUnit(c.unit), metric.WithDescription(c.text))
		all = append(all, whole[i])
	}

	_, _ = m.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		for _, s := range b.routes.all() {
			st := s.Stats()
			for _, c := range counters {
				o.ObserveInt64(count[c.name], int64(c.value(st)), s.observed(c.outcome))
			}
			for i, g := range gauges {
				o.ObserveFloat64(gauge[i], g.value(s, st), s.observed(""))
			}
			if n, ok := s.held(ctx); ok {
				o.ObserveInt64(letters, int64(n), s.observed(""))
			}
		}
		b.routes.each(func(r *route) {
			of := metric.WithAttributes(b.attributes(attrType.String(r.name))...)
			o.ObserveInt64(publishedEvents, int64(r.published.Load()), of)
			o.ObserveInt64(unheard, int64(r.unheard.Load()), of)
		})
		kept, _ := b.retention.counts()
		o.ObserveInt64(retained, int64(kept), metric.WithAttributes(b.attributes()...))
		for i, c := range busCounters {
			o.ObserveInt64(whole[i], int64(c.value(b)), metric.WithAttributes(b.attributes()...))
		}
		return nil
	}, all...)
	return mt
}

// observed are the attributes of what is said of s.
func (s *Subscription) observed(outcome string) metric.MeasurementOption {
	list := s.bus.attributes(attrSubscriber.String(s.name), attrType.String(s.typ))
	if outcome != "" {
		list = append(list, attrOutcome.String(outcome))
	}
	return metric.WithAttributes(list...)
}

// attributes are those given, and the bus's name if it has one: it tells several in one process apart.
func (b *Bus) attributes(list ...attribute.KeyValue) []attribute.KeyValue {
	if b.source == "" {
		return list
	}
	return append(list, attrSource.String(b.source))
}

// held returns how many letters of s are in its store.
func (s *Subscription) held(ctx context.Context) (n int, ok bool) {
	if s.letters == nil {
		return 0, false
	}
	err := contain(func() (err error) {
		n, err = s.letters.Count(ctx, DeadLetterFilter{Subscriber: s.name})
		return err
	})
	return n, err == nil
}

// took records an attempt's time.
func (m *meter) took(ctx context.Context, s *Subscription, outcome string, err error, d time.Duration) {
	switch {
	case err != nil:
		m.duration.Record(ctx, d.Seconds(), s.about(measured{outcome, errorClass(err)})...)
	default:
		m.duration.Record(ctx, d.Seconds(), s.handledOption...)
	}
}

// waited records a delivery's time in the queue.
func (m *meter) waited(ctx context.Context, s *Subscription, d time.Duration) {
	m.queued.Record(ctx, max(d, 0).Seconds(), s.queuedOption...)
}

// about returns the attributes of a measurement, made once.
func (s *Subscription) about(of measured) []metric.RecordOption {
	if o, ok := s.measured.Load(of); ok {
		return o.([]metric.RecordOption)
	}
	list := s.bus.attributes(attrSubscriber.String(s.name), attrType.String(s.typ))
	if of.outcome != "" {
		list = append(list, attrOutcome.String(of.outcome))
	}
	if of.class != "" {
		list = append(list, attrErrorType.String(of.class))
	}
	o := []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(list...))}
	s.measured.Store(of, o)
	return o
}
