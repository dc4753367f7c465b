package jitney

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Bus carries events from those that publish them to those that have subscribed to them, within one
// process. All its methods may be called by several goroutines at once. Make one with New, and end it
// with Shutdown.
type Bus struct {
	logger         *slog.Logger
	source         string
	hooks          []func(context.Context, *Envelope) error
	publishTimeout time.Duration
	grace          time.Duration
	hopLimit       int
	defaults       []SubscribeOption

	journal      Journal // nil: queues are memory
	clock        clock
	telemetry    telemetry
	routes       routes
	redeliveries sync.Map // IDs of the dead letters that are being redelivered
	bell         bell     // rung when a queue runs empty, or a worker ends

	late   atomic.Uint64 // publishes refused with ErrClosed
	gone   Stats         // of subscriptions that are no more; guarded by goneMu
	goneMu sync.Mutex

	recorders recorders // beside closing, which each publish reads too
	closing   atomic.Bool
	shutdown  sync.Once
	patient   context.Context // until Shutdown's deadline
	hurry     context.CancelCauseFunc
	down      chan struct{} // Shutdown is done, with the result
	result    error

	flushing atomic.Int32 // calls of Flush that wait
	schedule *scheduler   // here, so that what each publish reads is on the cache lines it was on: 40 ns

	unanswered atomic.Uint64 // questions refused with ErrNoAnswer
	retention  retention
}

// New returns a bus that is ready for use.
func New(opts ...Option) *Bus {
	c := newBusConfig(opts)
	b := &Bus{
		logger: c.logger, source: c.source, hooks: c.hooks, publishTimeout: c.publishTimeout,
		grace: c.grace, hopLimit: c.hopLimit, defaults: c.defaults, journal: c.journal, recorders: c.recorders,
		down: make(chan struct{}),
	}
	b.routes.init()
	b.schedule = newScheduler(b)
	b.telemetry = newTelemetry(b, c)
	b.retain(&c)
	b.patient, b.hurry = context.WithCancelCause(context.Background())
	return b
}

// Publish tells each subscriber of each event's type of the event, in the order given. It returns when
// all their queues have taken all events on, before they are handled; a full queue makes it wait (see
// Overflow), but all queues that have room get the event first, and subscribers made WithSync have
// handled it. When nobody has subscribed, Publish returns nil, counts the event, and logs the first one.
//
// On a bus made WithJournal, Publish returns when the events are stored, all or none. Durable subscriptions are fed
// from there, and neither make Publish wait nor refuse; what is said above of queues is true of those WithEphemeral and
// WithSync, which get the events once they are stored.
//
// Published by a handler, with its context, an event carries the correlation id of the event being
// handled and its ID as the cause, and Publish does not wait for room.
//
// The errors: before anything has been accepted, the end of ctx, ErrClosed after the start of Shutdown,
// or what is wrong with an event (ErrNilEvent, ErrInvalidName, ErrTypeConflict, ErrKeyTooLarge,
// ErrHopLimit, a hook's refusal); then none of the events has been published. Otherwise a [*PublishError],
// or several joined, each naming the subscribers that did not accept an event: all others have it, and so has the
// journal. An [*AppendError] means that nothing is stored, unless it wraps ErrIndeterminate: then that is not known, and
// Forward of its envelopes settles it, which the journal stores once, as far as it remembers their IDs.
func (b *Bus) Publish(ctx context.Context, events ...Event) error {
	if len(events) == 0 {
		return nil
	}
	if err := b.admit(ctx, "publish", events[0]); err != nil {
		return err
	}
	now := b.clock.now()
	var few [2]posting
	ps := few[:0]
	for i, e := range events {
		ps = append(ps, posting{})
		if err := b.seal(ctx, e, now, &ps[i]); err != nil {
			unpublished(ps, err)
			return publishFailed(e, i, len(events), err)
		}
	}
	return b.post(ctx, ps)
}

// Forward delivers an envelope that was made elsewhere, or that subscribers have refused before, as it
// is: to the named subscribers, or, if none is named, to all subscribers of its event's type. It must have
// an ID, a Version of at least 1, a Time, and the Type of its Event. Nobody may change
// env afterwards. The errors are those of Publish, ErrInvalidEnvelope, and ErrNoSubscription.
//
// A journal stores it, once for its ID, however often it comes, as far as docs/ENGINES.md says for the engine; with
// named subscribers it is not stored again, and none of them may be durable (ErrFedByJournal).
func (b *Bus) Forward(ctx context.Context, env *Envelope, subscribers ...string) error {
	if err := b.admit(ctx, "forward", env); err != nil {
		return err
	}
	p, err := b.address(ctx, env, subscribers)
	if err != nil {
		return fmt.Errorf("jitney: forward %s: %w", env, err)
	}
	return b.post(ctx, []posting{p})
}

// Subscriptions returns the subscriptions in the order they were made: those that are open or closing, answerers too,
// and after Shutdown all that were there.
func (b *Bus) Subscriptions() []*Subscription { return b.routes.all() }

// Stats returns the bus's account. It adds up the subscriptions' snapshots, which balance one by one; it
// is no snapshot of all of them at one moment.
func (b *Bus) Stats() BusStats {
	b.goneMu.Lock()
	sum := b.gone
	subs := b.routes.all()
	b.goneMu.Unlock()
	for _, s := range subs {
		sum = sum.add(s.Stats())
	}
	st := BusStats{Stats: sum, Unheard: b.routes.unheard(), TooLate: b.late.Load(), Unanswered: b.unanswered.Load()}
	st.Retained, st.Forgotten = b.retention.counts()
	s := b.schedule
	st.Scheduled, st.Unscheduled, st.Due = s.scheduled.Load(), s.unscheduled.Load(), s.published.Load()
	st.LeftOut = s.leftOut.Load()
	return st
}

// Flush waits until there has been a moment in which everything accepted had been settled: handled,
// skipped, dead or dropped, also what handlers published meanwhile and what waited for another attempt. It
// waits for what is paused, but not for what is parked behind a dead letter. With a journal, everything that is stored
// when Flush is called counts as accepted, and must have been settled by the durable subscriptions of this process.
// It returns an error that wraps ctx's cause if ctx ends first, ErrClosed if Shutdown ends first and leaves something
// that is not settled, and ErrReentrant in a handler. After a Shutdown that has left nothing it returns nil, as long as
// the journal, if there is one, says that nothing is left.
func (b *Bus) Flush(ctx context.Context) error {
	if b.handles(ctx) {
		return fmt.Errorf("jitney: flush: %w", ErrReentrant)
	}
	b.flushing.Add(1)
	defer b.flushing.Add(-1)
	for _, s := range b.routes.all() {
		if s.queue.batching != nil {
			s.queue.nudge()
		}
	}
	var down, settled bool
	b.bell.until(ctx.Done(), func() bool {
		down = b.ended() // before it looks: what is left after that is not waited for
		settled = b.settledAll(ctx)
		return settled || down
	})
	switch {
	case settled:
		return nil
	case down:
		return fmt.Errorf("jitney: flush: %w, with something left", ErrClosed)
	}
	return fmt.Errorf("jitney: flush: %w", context.Cause(ctx))
}

// ended reports whether Shutdown is done.
func (b *Bus) ended() bool {
	select {
	case <-b.down:
		return true
	default:
		return false
	}
}

// settledAll reports whether there was a moment when everything was settled, in the journal as well.
func (b *Bus) settledAll(ctx context.Context) bool {
	if b.journal == nil {
		return b.quiet(false)
	}
	end, err := b.journal.End(ctx)
	if err != nil || !b.caughtUp(end) || !b.quiet(false) {
		return false
	}
	again, err := b.journal.End(ctx) // what a handler has published meanwhile is behind it
	return err == nil && again == end
}

// quiet reports whether there was a moment, while it looked, when no subscription had anything to do;
// what is held back does not count if it is to be left alone.
//
// It looks at each twice. One that was empty both times, and was given nothing in between, was empty
// all the time from the first look to the second; if that holds for all, they were empty together at the
// moment between the two rounds. (The two-round form of Mattern's four-counter method, 1987.)
func (b *Bus) quiet(leaveHeld bool) bool {
	first := b.routes.all()
	reasons := make([]uint64, len(first))
	for i, s := range first {
		n, still := s.queue.look(leaveHeld)
		if !still {
			return false
		}
		reasons[i] = n
	}
	for i, s := range first {
		n, still := s.queue.look(leaveHeld)
		if !still || n != reasons[i] {
			return false
		}
	}
	return true
}

// handles reports whether ctx belongs to a handler of this bus that has not returned.
func (b *Bus) handles(ctx context.Context) bool {
	for s := scopeOf(ctx); s != nil; s = scopeOf(s.parent) {
		if s.sub.bus == b && s.alive() {
			return true
		}
	}
	return false
}

// log writes a record; what the application's logger does must not hurt the bus.
func (b *Bus) log(ctx context.Context, level slog.Level, text string, attrs ...slog.Attr) {
	_ = contain(func() error {
		b.logger.LogAttrs(ctx, level, text, attrs...)
		return nil
	})
}
