package jitney

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"errors"
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
	goroutines   sync.WaitGroup

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

// posting is an event that is ready to go to its subscribers.
type posting struct {
	env *Envelope
	to  []*Subscription
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
	if err := b.admit(ctx, len(events)); err != nil {
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
		ps = append(ps, posting{env, r.hearers(b, ctx, env)})
	}
	return b.post(ctx, ps)
}

// Forward delivers an envelope that was made elsewhere, or that subscribers have refused before, as it
// is: to the named subscribers, or, if none is named, to all subscribers of its event's type. Nobody may
// change env afterwards. The errors are those of Publish, ErrInvalidEnvelope, and ErrNoSubscription.
func (b *Bus) Forward(ctx context.Context, env *Envelope, subscribers ...string) error {
	if err := b.admit(ctx, 1); err != nil {
		return err
	}
	to, err := b.receivers(ctx, env, subscribers)
	if err != nil {
		return fmt.Errorf("jitney: forward %s: %w", env, err)
	}
	return b.post(ctx, []posting{{env, to}})
}

func (b *Bus) receivers(ctx context.Context, env *Envelope, names []string) (to []*Subscription, err error) {
	if env == nil {
		return nil, fmt.Errorf("%w: it is nil", ErrInvalidEnvelope)
	}
	var r *route
	err = contain(func() error { r, err = b.routes.of(env.Event); return err })
	if err != nil {
		return nil, err
	}
	if err := b.check(ctx, env, r); err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return r.hearers(b, ctx, env), nil
	}
	for _, name := range names {
		s := b.routes.named(name)
		switch {
		case s == nil:
			return nil, fmt.Errorf("%w: %q", ErrNoSubscription, clip(name, maxName))
		case !s.wants(r.typ):
			return nil, fmt.Errorf("%w: %s takes %s", ErrTypeConflict, name, s.EventType())
		}
		to = append(to, s)
	}
	return to, nil
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

// admit says whether ctx's owner may publish now.
func (b *Bus) admit(ctx context.Context, events int) error {
	if ctx == nil {
		panic("jitney: publish with a nil context, at " + caller())
	}
	if ctx.Err() != nil {
		return fmt.Errorf("jitney: publish: %w", context.Cause(ctx))
	}
	if b.closing.Load() && !b.handles(ctx) {
		b.tooLate(ctx, "publish", events)
		return fmt.Errorf("jitney: publish: %w", ErrClosed)
	}
	return nil
}

// tooLate counts a call after the start of Shutdown, and logs the 1st, 2nd, 4th, 8th …
func (b *Bus) tooLate(ctx context.Context, call string, what any) {
	if n := b.late.Add(1); powerOfTwo(n) {
		b.log(ctx, slog.LevelWarn, "jitney: refused after shutdown", slog.String("call", call),
			slog.Any("what", what), slog.Uint64("refused_in_all", n), slog.String("called_at", caller()))
	}
}

// hearers returns r's subscriptions, and takes note if there are none.
func (r *route) hearers(b *Bus, ctx context.Context, env *Envelope) []*Subscription {
	subs := *r.subs.Load()
	if len(subs) == 0 && r.unheard.Add(1) == 1 {
		b.log(ctx, slog.LevelInfo, "jitney: nobody has subscribed to this event", slog.Any("event", env))
	}
	return subs
}

// post hands out the postings one after the other.
func (b *Bus) post(ctx context.Context, ps []posting) error {
	inside := scopeOf(ctx) != nil
	var errs []error
	for i, p := range ps {
		refusals := b.fanOut(ctx, p, inside, i > 0)
		if len(refusals) > 0 {
			errs = append(errs, &PublishError{Envelope: p.env, Refusals: refusals})
		}
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// waiting is a subscription with a full queue, and its place in Refusals.
type waitingFor struct {
	s *Subscription
	w *waiter
}

// fanOut gives p to its subscribers: first to every queue that has room, then to the synchronous ones,
// and at last it waits for the queues that were full.
func (b *Bus) fanOut(ctx context.Context, p posting, inside, checkCtx bool) (refusals []Refusal) {
	pc := parcel{env: p.env, at: p.env.Time.UnixNano(), inside: inside}
	refuse := func(s *Subscription, err error) {
		if err != nil && err != errLeft { //nolint:errorlint // as queue.refuse was given it
			refusals = append(refusals, Refusal{s.name, err})
		}
	}
	if checkCtx && ctx.Err() != nil {
		for _, s := range p.to {
			refuse(s, context.Cause(ctx))
		}
		return refusals
	}
	var full []waitingFor
	var syncs bool
	for _, s := range p.to {
		if s.sync {
			syncs = true
			continue
		}
		w, dropped, err := s.queue.offer(pc)
		s.dropped(dropped)
		if w != nil {
			full = append(full, waitingFor{s, w})
		}
		refuse(s, err)
	}
	if syncs {
		for _, s := range p.to {
			if s.sync {
				refuse(s, s.deliverSync(ctx, pc))
			}
		}
	}
	if full != nil {
		timeout := time.NewTimer(b.publishTimeout)
		defer timeout.Stop()
		for _, f := range full {
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
