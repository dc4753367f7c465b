package jitney

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// posting is an event that is ready to go to its subscribers: those of its route, or those named.
type posting struct {
	env    *Envelope
	route  *route
	named  []*Subscription
	inside bool            // a handler publishes it, and must not wait
	due    bool            // it was scheduled: nobody is to wait for room, and its publisher's context ends with the start of Shutdown
	later  *Scheduled      // whose At, and ID if it has one, the envelope gets; it is wanted though nobody hears it now
	rare   *rare           // of an envelope that was made elsewhere
	scopes []scope         // for the first attempts, as far as they go
	ctx    context.Context // with the span of the publication; nil without a tracer
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

// hearers returns r's subscriptions, and takes note if there are none. An event that is refused by all is not kept
// for others.
func (r *route) hearers(ctx context.Context, b *Bus, env *Envelope, refused bool) []*Subscription {
	subs := *r.subs.Load()
	if r.retained != nil && !refused {
		subs = b.retention.keep(b, r, env)
	}
	if len(subs) == 0 && r.unheard.Add(1) == 1 {
		b.log(ctx, slog.LevelInfo, "jitney: nobody has subscribed to this event", slog.Any("event", env))
	}
	return subs
}

// address checks an envelope that somebody else has made, and finds those it is for.
func (b *Bus) address(ctx context.Context, env *Envelope, names []string) (p posting, err error) {
	if env == nil {
		return p, fmt.Errorf("%w: it is nil", ErrInvalidEnvelope)
	}
	p.env, p.inside, p.rare = env, inHandler(ctx), &rare{at: time.Now()}
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
		case s.feed != nil:
			return p, fmt.Errorf("%w: %s", ErrFedByJournal, name)
		}
		p.named = append(p.named, s)
	}
	return p, nil
}

// post hands out the postings one after the other.
func (b *Bus) post(ctx context.Context, ps []posting) error {
	if b.journal != nil && ps[0].named == nil {
		if err := b.record(ctx, ps); err != nil {
			return err
		}
	}
	var errs []error
	wait := patience{left: b.publishTimeout}
	defer wait.end()
	for i := range ps {
		p := &ps[i]
		if p.due {
			wait.left = 0 // others are due as well; those who refuse are tried again
		}
		to, refused := p.named, p.env != nil && i > 0 && ctx.Err() != nil
		if b.telemetry.meter != nil && to == nil && !refused {
			p.route.published.Add(1)
		}
		if p.env == nil {
			p.route.unheard.Add(1)
			continue
		}
		if to == nil {
			to = p.route.hearers(ctx, b, p.env, refused)
		}
		if b.recorders != nil {
			b.recorders.published(ctx, p.env, to)
		}
		pc := parcel{env: p.env, rare: p.rare}
		var refusals []Refusal
		if refused {
			refusals = refuseAll(to, context.Cause(ctx))
		} else {
			refusals = b.fanOut(p.within(ctx), pc, p, to, &wait)
		}
		if p.ctx != nil {
			published(p.ctx, refusals, nil)
		}
		if len(refusals) > 0 {
			b.recorders.refused(p.env, to, refusals)
			errs = append(errs, &PublishError{Envelope: p.env, Refusals: refusals})
		}
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// within returns the context that synchronous subscribers handle p in.
func (p *posting) within(ctx context.Context) context.Context {
	if p.ctx == nil {
		return ctx
	}
	return p.ctx
}

// lasting returns the context that a synchronous handler gets: what has been begun goes on until Shutdown's deadline.
func (p *posting) lasting(ctx context.Context) context.Context {
	if p.due {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

// unpublished ends the spans of events that nobody gets because of the last one.
func unpublished(ps []posting, err error) {
	for _, p := range ps {
		if p.ctx != nil {
			published(p.ctx, nil, err)
		}
	}
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

// patience is how long a call waits for room, in all full queues together.
type patience struct {
	left    time.Duration
	running *time.Timer // from the first of them on
}

func (pt *patience) timer() *time.Timer {
	if pt.running == nil {
		pt.running = time.NewTimer(pt.left)
	}
	return pt.running
}

func (pt *patience) end() {
	if pt.running != nil {
		pt.running.Stop()
	}
}

// fanOut gives p to its subscribers: first to every queue that has room, then to the synchronous ones,
// and at last it waits for the queues that were full. A subscription that was closed a moment ago does
// not count, unless p is addressed to it by name.
func (b *Bus) fanOut(ctx context.Context, p parcel, of *posting, to []*Subscription, wait *patience) (refusals []Refusal) {
	inside, named := of.inside, of.named != nil
	refuse := func(s *Subscription, err error) {
		if err != nil && (named || err != errLeft) {
			refusals = append(refusals, Refusal{s.name, err})
		}
	}
	var waits []full
	syncs := false
	for i, s := range to {
		if s.sync || s.feed != nil {
			syncs = syncs || s.sync
			continue
		}
		if s.picky && !named && !s.hears(p.env) {
			continue
		}
		p.scope = of.scopeFor(i)
		if s.fair == nil && s.queue.put(p) {
			continue
		}
		w, err := s.offer(p, inside)
		if w != nil {
			waits = append(waits, full{s, w})
		}
		refuse(s, err)
	}
	if syncs {
		for i, s := range to {
			if s.sync && (!s.picky || named || s.hears(p.env)) {
				p.scope = of.scopeFor(i)
				refuse(s, s.deliverSync(of.lasting(ctx), p, inside))
			}
		}
	}
	for _, f := range waits {
		refuse(f.s, f.s.queue.await(ctx, f.w, wait.timer()))
	}
	return refusals
}

// scopeFor returns the scope that has been made for the i-th subscriber, or nil.
func (p *posting) scopeFor(i int) *scope {
	if i < len(p.scopes) {
		return &p.scopes[i]
	}
	return nil
}

// publishFailed says which event could not be published, and that none was.
func publishFailed(e Event, i, n int, err error) error {
	if n == 1 {
		return fmt.Errorf("jitney: publish %T: %w", e, err)
	}
	return fmt.Errorf("jitney: publish %T, the %d. of %d events, none of which was published: %w", e, i+1, n, err)
}
