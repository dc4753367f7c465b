package bridge

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/jitney-go/jitney"
)

// In gives the bus the engine's events of type T, which is as with [Out]. name is that of the durable subscriber of the
// engine this makes, and opts are its options: WithStart says where it begins if its name is new. An event keeps its ID
// and all else, but for header [Via], and but for what a middleware makes of it. One that this program has no Go type
// for is given to the bus as a [jitney.RawEvent] if T is [jitney.Event]; otherwise, if it could be a T, it waits in the
// engine.
//
// An event is settled in the engine when the bus has taken it, by [jitney.Bus.Forward]. A bus WithJournal has stored it
// then, once for its ID. A bus in memory has it in its queues, or its subscribers WithSync have handled it; after a
// death of the process an event may come twice, unless opts has WithIdempotency, and what was in queues is gone.
//
// Events come one at a time, in their order; with WithWorkers, those of different keys at the same time. While the bus
// does not take one, because a queue is full or its journal does not answer, it is tried again without end, from 100 ms
// to every 30 s; WithRetry says otherwise. Those of its subscribers that have it do not get it again while others are
// waited for, unless WithTimeout cuts that short. What the bus will never take is a dead letter, and [Way.Bus]
// redelivers it.
//
// In panics as Subscribe does, if ends are not complete, and if opts has WithSync or WithEphemeral. Close it before the
// bus is shut down, and before the engine is closed.
func In[T jitney.Event](ends Ends, name string, opts ...jitney.SubscribeOption) *Way {
	ends.mustBeWired("In", name)
	metrics := ends.MeterProvider
	ends = ends.withDefaults()
	d := &door{ends.Bus}
	w := newWay(ends, route{from: ends.There, to: ends.Here}, receiving(ends, name), d.take)
	own := []jitney.Option{
		jitney.WithJournal(log{ends.Engine}), jitney.WithLogger(ends.Logger), jitney.WithSource(ends.There),
		jitney.WithTracerProvider(noop.NewTracerProvider()), // the spans are the way's
	}
	if metrics != nil {
		own = append(own, jitney.WithMeterProvider(metrics))
	}
	w.bus = jitney.New(own...)
	w.close = w.bus.Shutdown
	w.Subscription = jitney.Subscribe(w.bus, name, func(ctx context.Context, e T) error { return w.handle(ctx, e) }, patiently(opts)...)
	if !w.Durable() {
		panic(fmt.Sprintf("bridge: In %q: WithSync or WithEphemeral: nothing would come in", name))
	}
	return w
}

// log is an engine's events alone. What else it may keep, such as a schedule, is for its own bus to look after.
type log struct{ jitney.Journal }

// door is where events come into a bus.
type door struct{ bus *jitney.Bus }

// take gives env to the bus, and goes on until all its subscribers have it that want it.
func (d *door) take(ctx context.Context, env *jitney.Envelope) error {
	ctx, done := outside(ctx)
	defer done()
	late, err := d.offer(ctx, env)
	for n := 1; err == nil && len(late) > 0; n++ {
		wait, _ := patient.Next(n, 0, rand.Float64())
		if err := sleep(ctx, wait); err != nil {
			return fmt.Errorf("bridge: %s: not taken by %q: %w", env, late, err)
		}
		late, err = d.offerAgain(ctx, env, late)
	}
	return err
}

// offer forwards env to the subscribers of these names, or to all, and returns those who may take it later.
func (d *door) offer(ctx context.Context, env *jitney.Envelope, names ...string) (late []string, err error) {
	err = d.bus.Forward(ctx, env, names...)
	refused, ok := errors.AsType[*jitney.PublishError](err)
	if !ok {
		return nil, err
	}
	for _, r := range refused.Refusals {
		if ctx.Err() != nil || notNow(r.Err) {
			late = append(late, r.Subscriber)
		}
	}
	return late, nil
}

// offerAgain forwards env to each of these subscribers that is still there.
func (d *door) offerAgain(ctx context.Context, env *jitney.Envelope, names []string) (late []string, err error) {
	for _, name := range names {
		more, err := d.offer(ctx, env, name)
		if err != nil && !errors.Is(err, jitney.ErrNoSubscription) {
			return nil, err
		}
		late = append(late, more...)
	}
	return late, nil
}

// notNow tells a subscriber that has no room from one made WithSync whose handler has failed: that has had the event,
// and its own retries, and its dead letter is logged.
func notNow(err error) bool {
	for _, why := range []error{jitney.ErrQueueFull, jitney.ErrReserveFull, jitney.ErrPaused, jitney.ErrClosed} {
		if errors.Is(err, why) {
			return true
		}
	}
	return false
}

// outside returns a context that ends with ctx, a handler's, but is none: where the bus would not let a handler wait
// for room, it does let this wait.
func outside(ctx context.Context) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancelCause(trace.ContextWithSpan(context.Background(), trace.SpanFromContext(ctx)))
	unlink := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	return out, func() {
		unlink()
		cancel(nil)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
