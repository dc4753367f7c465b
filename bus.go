package jitney

import (
	"context"
	"errors"
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

	routes       routes
	redeliveries sync.Map // IDs of the dead letters that are being redelivered
	bell         bell     // rung when a queue runs empty, or a worker ends

	late   atomic.Uint64 // publishes refused with ErrClosed
	gone   Stats         // of subscriptions that are no more; guarded by goneMu
	goneMu sync.Mutex

	closing  atomic.Bool
	shutdown sync.Once
	patient  context.Context // until Shutdown's deadline
	hurry    context.CancelCauseFunc
	down     chan struct{} // Shutdown is done, with the result
	result   error
}

// New returns a bus that is ready for use.
func New(opts ...Option) *Bus {
	c := newBusConfig(opts)
	b := &Bus{
		logger: c.logger, source: c.source, hooks: c.hooks, publishTimeout: c.publishTimeout,
		grace: c.grace, hopLimit: c.hopLimit, defaults: c.defaults,
		down: make(chan struct{}),
	}
	b.routes.init()
	b.patient, b.hurry = context.WithCancelCause(context.Background())
	return b
}

// posting is an event that is ready to go to its subscribers: those of its route, or those named.
type posting struct {
	env   *Envelope
	route *route
	named []*Subscription
}

// Publish tells each subscriber of each event's type of the event, in the order given. It returns when
// all their queues have taken all events on, before they are handled; a full queue makes it wait (see
// Overflow), but all queues that have room get the event first, and subscribers made WithSync have
// handled it. When nobody has subscribed, Publish returns nil, counts the event, and logs the first one.
//
// Published by a handler, with its context, an event carries the correlation id of the event being
// handled and its ID as the cause, and Publish does not wait for room.
//
// The errors: before anything has been accepted, the end of ctx, ErrClosed after the start of Shutdown,
// or what is wrong with an event (ErrNilEvent, ErrInvalidName, ErrTypeConflict, ErrKeyTooLarge,
// ErrHopLimit, a hook's refusal); then none of the events has been published. Otherwise a [*PublishError],
// or several joined, each naming the subscribers that did not accept an event: all others have it.
func (b *Bus) Publish(ctx context.Context, events ...Event) error {
	if len(events) == 0 {
		return nil
	}
	if err := b.admit(ctx, "publish", events[0]); err != nil {
		return err
	}
	now := time.Now()
	var few [4]posting
	ps := few[:0]
	for i, e := range events {
		env, r, err := b.seal(ctx, e, now)
		if err != nil {
			return publishFailed(e, i, len(events), err)
		}
		ps = append(ps, posting{env: env, route: r})
	}
	return b.post(ctx, ps, now)
}

// Forward delivers an envelope that was made elsewhere, or that subscribers have refused before, as it
// is: to the named subscribers, or, if none is named, to all subscribers of its event's type. It must have
// an ID, a Version of at least 1, a Time, a CorrelationID, and the Type of its Event. Nobody may change
// env afterwards. The errors are those of Publish, ErrInvalidEnvelope, and ErrNoSubscription.
func (b *Bus) Forward(ctx context.Context, env *Envelope, subscribers ...string) error {
	if err := b.admit(ctx, "forward", env); err != nil {
		return err
	}
	p, err := b.address(ctx, env, subscribers)
	if err != nil {
		return fmt.Errorf("jitney: forward %s: %w", env, err)
	}
	return b.post(ctx, []posting{p}, time.Now())
}

// address checks an envelope that somebody else has made, and finds those it is for.
func (b *Bus) address(ctx context.Context, env *Envelope, names []string) (p posting, err error) {
	if env == nil {
		return p, fmt.Errorf("%w: it is nil", ErrInvalidEnvelope)
	}
	p.env = env
	err = contain(func() (err error) { p.route, err = b.routes.of(env.Event); return err })
	if err != nil {
		return p, err
	}
	if err := b.check(ctx, env, p.route); err != nil {
		return p, err
	}
	for _, name := range names {
		s := b.routes.named(name)
		switch {
		case s == nil:
			return p, fmt.Errorf("%w: %q", ErrNoSubscription, clip(name, maxName))
		case !s.wants(p.route.typ):
			return p, fmt.Errorf("%w: %s takes %s", ErrTypeConflict, name, s.EventType())
		}
		p.named = append(p.named, s)
	}
	return p, nil
}

// Subscriptions returns the open subscriptions in the order they were made.
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
	return BusStats{Stats: sum, Unheard: b.routes.unheard(), TooLate: b.late.Load()}
}

// Flush waits until there has been a moment in which everything accepted had been settled: handled,
// skipped, dead or dropped, also what handlers published meanwhile and what waited for another attempt.
// It returns an error that wraps ctx's cause if ctx ends first, and ErrReentrant in a handler.
func (b *Bus) Flush(ctx context.Context) error {
	if b.handles(ctx) {
		return fmt.Errorf("jitney: flush: %w", ErrReentrant)
	}
	if !b.bell.until(ctx.Done(), b.quiet) {
		return fmt.Errorf("jitney: flush: %w", context.Cause(ctx))
	}
	return nil
}

// quiet reports whether there was a moment, while it looked, when no subscription had anything to do.
//
// It looks at each twice. One that was empty both times, and has accepted nothing in between, was empty
// all the time from the first look to the second; if that holds for all, they were empty together at the
// moment between the two rounds. (The two-round form of Mattern's four-counter method, 1987.)
func (b *Bus) quiet() bool {
	first := b.routes.all()
	accepted := make([]uint64, len(first))
	for i, s := range first {
		st := s.queue.snapshot()
		if !st.Oldest.IsZero() {
			return false
		}
		accepted[i] = st.Accepted
	}
	for i, s := range first {
		st := s.queue.snapshot()
		if !st.Oldest.IsZero() || st.Accepted != accepted[i] {
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

// admit says whether ctx's owner may make a call, about an event like e, now.
func (b *Bus) admit(ctx context.Context, call string, e any) error {
	if ctx == nil {
		panic("jitney: " + call + " with a nil context, at " + caller())
	}
	if ctx.Err() != nil {
		return fmt.Errorf("jitney: %s: %w", call, context.Cause(ctx))
	}
	if !b.closing.Load() || b.handles(ctx) {
		return nil
	}
	if n := b.late.Add(1); powerOfTwo(n) { // the 1st, 2nd, 4th, 8th …
		b.log(ctx, slog.LevelWarn, "jitney: refused after shutdown",
			slog.String("call", call), slog.String("event", nameOf(e)),
			slog.Uint64("refused_in_all", n), slog.String("called_at", caller()))
	}
	return fmt.Errorf("jitney: %s: %w", call, ErrClosed)
}

// nameOf names an event, or an envelope, without asking the event.
func nameOf(e any) string {
	if env, ok := e.(*Envelope); ok {
		return env.String()
	}
	return fmt.Sprintf("%T", e)
}

// hearers returns r's subscriptions, and takes note if there are none.
func (r *route) hearers(ctx context.Context, b *Bus, env *Envelope) []*Subscription {
	subs := *r.subs.Load()
	if len(subs) == 0 && r.unheard.Add(1) == 1 {
		b.log(ctx, slog.LevelInfo, "jitney: nobody has subscribed to this event", slog.Any("event", env))
	}
	return subs
}

// post hands out the postings one after the other.
func (b *Bus) post(ctx context.Context, ps []posting, now time.Time) error {
	inside := inHandler(ctx)
	var errs []error
	for i, p := range ps {
		to := p.named
		if to == nil {
			to = p.route.hearers(ctx, b, p.env)
		}
		pc := parcel{env: p.env, at: now.UnixNano(), inside: inside}
		var refusals []Refusal
		if i > 0 && ctx.Err() != nil {
			refusals = refuseAll(to, context.Cause(ctx))
		} else {
			refusals = b.fanOut(ctx, pc, to, p.named != nil)
		}
		if len(refusals) > 0 {
			errs = append(errs, &PublishError{Envelope: p.env, Refusals: refusals})
		}
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

func refuseAll(to []*Subscription, err error) (refusals []Refusal) {
	for _, s := range to {
		refusals = append(refusals, Refusal{s.name, err})
	}
	return refusals
}

// full is a subscription that a publisher waits for.
type full struct {
	s *Subscription
	w *waiter
}

// fanOut gives p to its subscribers: first to every queue that has room, then to the synchronous ones,
// and at last it waits for the queues that were full. A subscription that was closed a moment ago does
// not count, unless p is addressed to it by name.
func (b *Bus) fanOut(ctx context.Context, p parcel, to []*Subscription, named bool) (refusals []Refusal) {
	refuse := func(s *Subscription, err error) {
		if err != nil && (named || err != errLeft) {
			refusals = append(refusals, Refusal{s.name, err})
		}
	}
	var waits []full
	syncs := false
	for _, s := range to {
		if s.sync {
			syncs = true
			continue
		}
		w, dropped, err := s.queue.offer(p)
		s.dropped(dropped)
		if w != nil {
			waits = append(waits, full{s, w})
		}
		refuse(s, err)
	}
	if syncs {
		for _, s := range to {
			if s.sync {
				refuse(s, s.deliverSync(ctx, p))
			}
		}
	}
	if waits != nil {
		timeout := time.NewTimer(b.publishTimeout)
		defer timeout.Stop()
		for _, f := range waits {
			refuse(f.s, f.s.queue.await(ctx, f.w, timeout))
		}
	}
	return refusals
}

// publishFailed says which event could not be published, and that none was.
func publishFailed(e Event, i, n int, err error) error {
	if n == 1 {
		return fmt.Errorf("jitney: publish %T: %w", e, err)
	}
	return fmt.Errorf("jitney: publish %T, the %d. of %d events, none of which was published: %w", e, i+1, n, err)
}

// log writes a record; what the application's logger does must not hurt the bus.
func (b *Bus) log(ctx context.Context, level slog.Level, text string, attrs ...slog.Attr) {
	_ = contain(func() error {
		b.logger.LogAttrs(ctx, level, text, attrs...)
		return nil
	})
}
