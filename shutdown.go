package jitney

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"
)

// errLeft is what a closed subscription tells a publisher that has just missed it.
var errLeft = fmt.Errorf("%w: it has just been closed", ErrNoSubscription)

// Unhandled is a delivery that was accepted and not handled.
type Unhandled struct {
	Envelope   *Envelope
	Subscriber string
	Attempts   int   // used up; an attempt that the deadline interrupted is none
	Err        error // of the last attempt, or nil
	// Running says that the handler has not returned: it ignores its context. Nobody can stop it; it
	// may yet succeed. Since is a time by which it ran already, zero if that is not known. If Err is not nil, it is not
	// the handler that has not returned, but what Err says, which was to decide about an event from the journal.
	Running bool
	Since   time.Time
	// Due is when it was to be published, if it was scheduled; Subscriber is "" then, unless the event was due and only
	// that one had not taken it. If Running too, it was being published, and others may not have got it. Zero otherwise.
	Due time.Time
	// Behind is the dead letter that the delivery was to wait behind; uuid.Nil if there was none.
	Behind uuid.UUID
}

// UnhandledError is what Shutdown and Close return when their context ended too early, or when deliveries
// were held back. It carries each delivery that was not handled, so that the caller can write them down; but not those
// that a journal keeps for the next start, unless they run.
type UnhandledError struct {
	Op        string // "shutdown", or "close " and the subscriber
	Cause     error  // why it did not wait longer: what ended its context; or ErrHeldBack
	Unhandled []Unhandled
}

func (e *UnhandledError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "jitney: %s: %d deliveries not handled (%s)", e.Op, len(e.Unhandled), errorText(e.Cause))
	for i, u := range e.Unhandled {
		if i == 10 {
			fmt.Fprintf(&b, "; and %d more", len(e.Unhandled)-i)
			break
		}
		if u.Subscriber == "" {
			fmt.Fprintf(&b, "; %s, scheduled for %s", u.Envelope, u.Due.Format(time.RFC3339))
			continue
		}
		fmt.Fprintf(&b, "; %s to %s", u.Envelope, u.Subscriber)
		switch {
		case u.Running && u.Err != nil:
			b.WriteString(", " + errorText(u.Err))
		case u.Running:
			b.WriteString(", whose handler ignores its context")
		}
	}
	return b.String()
}

// Unwrap returns the cause, and ErrDeadline before it unless the cause is ErrHeldBack.
func (e *UnhandledError) Unwrap() []error {
	if e.Cause == ErrHeldBack {
		return []error{e.Cause}
	}
	return []error{ErrDeadline, e.Cause}
}

// Shutdown ends the bus. From its start on, everybody but the bus's own handlers gets ErrClosed for a
// publish; a publisher that waits for room already is still served. What has been accepted is handled,
// and so is what handlers publish meanwhile; then Shutdown returns nil. What is parked, paused
// or scheduled is not waited for, but returned. With a journal it is what is in the queues that is handled; what is
// not stays in the journal and comes again when the subscription is opened the next time. Of that Shutdown returns what
// runs, and no more. Close the journal after Shutdown.
//
// When ctx ends before that, the contexts of the running handlers end with the cause ErrDeadline, and no
// further handler starts. Shutdown then returns after at most the grace (WithGrace), with an
// [*UnhandledError] that has all deliveries which were not handled, but those that stay in a journal; a handler that
// has not returned by then is named in it. An attempt that failed because it was interrupted is not used up. All other
// goroutines of the bus have ended.
//
// Further calls, at the same time or later, return the same result; if the context of any of them ends,
// Shutdown stops waiting. Called with a handler's context, it does nothing and returns ErrReentrant.
func (b *Bus) Shutdown(ctx context.Context) error {
	if b.handles(ctx) {
		return fmt.Errorf("jitney: shutdown: %w", ErrReentrant)
	}
	b.shutdown.Do(func() {
		b.closing.Store(true)
		go func() {
			defer b.bell.ring() // Flush looks at down
			defer close(b.down)
			b.result = b.drain()
		}()
	})
	stop := context.AfterFunc(ctx, func() { b.hurry(context.Cause(ctx)) })
	defer stop()
	<-b.down
	return b.result
}

// drain is Shutdown's own goroutine.
func (b *Bus) drain() error {
	over, stop := b.mercy(b.patient)
	defer stop()
	b.schedule.halt(b.patient.Done())
	subs := b.routes.shut()
	for _, s := range subs {
		s.halt(b.patient.Done())
		s.queue.refuse(ErrClosed, nil)
	}
	b.bell.until(b.patient.Done(), func() bool { return b.quiet(true) })
	unhandled := b.end(b.patient, over, subs, ErrClosed)
	if !b.schedule.halt(over) {
		b.log(b.schedule.life, slog.LevelError,
			"jitney: what is due, or a timetable, does not return; no longer waited for")
	}
	unhandled = b.schedule.left(unhandled)
	defer b.hurry(nil)
	if len(unhandled) == 0 {
		return nil
	}
	return &UnhandledError{"shutdown", cmp.Or(context.Cause(b.patient), ErrHeldBack), unhandled}
}

// Close takes s off the bus. Events published from its start on are not for s any more. What s has
// accepted is still handled; then Close returns nil, the handler does not run and will not run again.
//
// When ctx ends before that, the same happens as in Shutdown, for s alone. Further calls return the same
// result. Called with the context of s's own handler, it does nothing and returns ErrReentrant.
func (s *Subscription) Close(ctx context.Context) error {
	for c := scopeOf(ctx); c != nil; c = scopeOf(c.parent) {
		if c.sub == s && c.alive() {
			return fmt.Errorf("jitney: close %s: %w", s.name, ErrReentrant)
		}
	}
	s.closing.Do(func() {
		s.bus.routes.leave(s)
		go func() {
			defer close(s.closed)
			s.result = s.drain()
		}()
	})
	stop := context.AfterFunc(ctx, func() { s.hurry(context.Cause(ctx)) })
	defer stop()
	<-s.closed
	return s.result
}

// drain is Close's own goroutine.
func (s *Subscription) drain() error {
	over, stop := s.bus.mercy(s.patient)
	defer stop()
	s.halt(s.patient.Done())
	s.queue.refuse(errLeft, errLeft)
	s.bus.bell.until(s.patient.Done(), s.queue.over)
	without := ErrHeldBack // the cause, if s's own patience has not ended
	if s.queue.ended() {
		without = ErrClosed
	}
	unhandled := s.bus.end(s.patient, over, []*Subscription{s}, errLeft)
	s.bus.bury(s)
	defer s.hurry(nil)
	if len(unhandled) == 0 {
		return nil
	}
	return &UnhandledError{"close " + s.name, cmp.Or(context.Cause(s.patient), without), unhandled}
}

// bury forgets s but for its account.
func (b *Bus) bury(s *Subscription) {
	b.goneMu.Lock()
	defer b.goneMu.Unlock()
	b.gone = b.gone.add(s.Stats())
	b.gone.Oldest, b.gone.Paused, b.gone.Breaker = time.Time{}, false, BreakerClosed
	b.routes.forget(s)
}

// end ends the workers of subs: at once if there is nothing left to do, else by force. It returns what
// was not handled.
func (b *Bus) end(patient context.Context, over <-chan struct{}, subs []*Subscription, refusal error) (unhandled []Unhandled) {
	last := time.Now().Add(b.grace)
	if patient.Err() != nil {
		b.force(subs)
	}
	for _, s := range subs {
		s.queue.refuse(refusal, refusal)
		s.queue.haltIdle()
	}
	b.bell.until(over, func() bool { return ended(subs) })
	for _, s := range subs {
		s.halt(over)
		unhandled = append(append(unhandled, s.unhandled()...), s.undecided()...)
		s.queue.stop()
		s.kill(ErrDeadline)
		if s.workers.Load() == 0 {
			s.goroutines.Wait() // they are on their last instructions
		}
	}
	if patient.Err() == nil {
		last = time.Now().Add(b.grace)
	}
	b.endFeeds(last, subs)
	return unhandled
}

// force ends the contexts of subs' handlers, and keeps further ones from starting.
func (b *Bus) force(subs []*Subscription) {
	for _, s := range subs {
		s.queue.halt()
	}
	for _, s := range subs {
		s.kill(ErrDeadline)
	}
}

// mercy returns what ends a grace after patient does: then nothing is waited for any more. If there is a journal, the
// last tenth of the grace is for storing what has been settled.
func (b *Bus) mercy(patient context.Context) (over <-chan struct{}, stop func()) {
	grace := b.grace
	if b.journal != nil {
		grace -= grace / 10
	}
	ctx, cancel := context.WithCancel(context.Background())
	timer := make(chan *time.Timer, 1)
	unlink := context.AfterFunc(patient, func() { timer <- time.AfterFunc(grace, cancel) })
	return ctx.Done(), func() {
		if !unlink() { // patient has ended: the timer is there, or about to be
			(<-timer).Stop()
		}
		cancel()
	}
}

// ended reports whether only workers are left whose handlers do not return.
func ended(subs []*Subscription) bool {
	for _, s := range subs {
		if s.workers.Load() > 0 || s.queue.busy() {
			return false
		}
	}
	return true
}

// unhandled lists what is left of s's deliveries. Whoever waits for a redelivery among them is told.
func (s *Subscription) unhandled() (list []Unhandled) {
	var redeliveries []*redelivery
	s.queue.remaining(func(e *entry) {
		if e.position() > 0 && e.state != running {
			return // the journal has it
		}
		u := Unhandled{Envelope: e.env, Subscriber: s.name}
		if e.state == running {
			u.Running = true
			if e.seen > 0 {
				u.Since = time.Unix(0, e.seen)
			}
		} else {
			if p := s.queue.parking.of(e); p != nil {
				u.Behind = p.letter
			}
			if e.file != nil && !s.sync { // a synchronous delivery's file is its publisher's, also while it waits
				u.Attempts, u.Err = e.file.attempts, e.file.last
			}
			if e.again() != nil {
				redeliveries = append(redeliveries, e.again())
			}
		}
		list = append(list, u)
	})
	for _, r := range redeliveries {
		s.bus.conclude(r, ErrDeadline)
	}
	return list
}
