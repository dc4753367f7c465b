package jitney

import (
	"cmp"
	"errors"
	"math"
	"time"
)

// Breaker is a circuit breaker that holds back a subscription's deliveries while what its handler depends
// on is down, instead of turning them into dead letters. The zero value is ready to use; see WithBreaker.
//
// It opens when Failures attempts have failed in a row, or when Rate of the last Window have. While it is
// open no attempt begins; events wait in the queue, within its bound. After Pause it is half-open: one
// delivery is tried. If that is handled, the breaker closes; if it fails, it opens again, for twice as
// long, up to MaxPause. If it ends otherwise (Skip, or a failure that does not count) the next one is
// tried. A handler's RetryAfter makes the pause at least as long.
//
// The failure that opens the breaker, those of attempts that were under way then, and those of tries while
// it is half-open, use up no attempt of their deliveries. So nothing dies of an outage, provided that the
// breaker opens before a delivery's attempts are used up: with Failures above Retry.Attempts and a single
// lane, the first delivery may. On the other hand, at or below it, a single event that nobody can ever
// handle opens the breaker as well, and in a single lane holds up all others; Permanent, or Counts, tells
// such errors apart, and Subscription.Resume closes the breaker by hand.
//
// The pattern is Michael Nygard's (Release It!, 2007); that it stops intake instead of failing is what
// MassTransit calls a kill switch.
type Breaker struct {
	// Failures in a row open the breaker. Default 10; below 0: never.
	Failures int
	// Rate is the share of failures among the last Window attempts that opens the breaker, above 0 and
	// up to 1. Default 0: never.
	Rate float64
	// Window is how many attempts Rate looks at. Default 100.
	Window int
	// Pause and MaxPause bound how long the breaker stays open. Defaults 10 s and 2 min; MaxPause is at
	// least Pause.
	Pause, MaxPause time.Duration
	// Counts says which errors tell of an outage. Default: all but those marked Permanent. It must be
	// safe for use by several goroutines.
	Counts func(err error) bool
	// OnChange is told of each change of state, one after the other, in a goroutine of its own. Shutdown
	// and Close wait for it. Default none; each change is logged in any case.
	OnChange func(BreakerChange)
}

// BreakerState is where a breaker stands.
type BreakerState uint8

// The states of a breaker, from good to bad.
const (
	BreakerClosed   BreakerState = iota // deliveries flow
	BreakerHalfOpen                     // one delivery is tried, or will be as soon as there is one
	BreakerOpen                         // no attempt begins
)

func (s BreakerState) String() string {
	switch s {
	case BreakerHalfOpen:
		return "half-open"
	case BreakerOpen:
		return "open"
	default:
		return "closed"
	}
}

// BreakerChange is a change of a breaker's state.
type BreakerChange struct {
	Subscriber string
	From, To   BreakerState
	Err        error         // that opened the breaker; nil when it closes
	Pause      time.Duration // how long it stays open
}

// breaker is a Breaker at work. Its methods are called with the queue's lock held.
type breaker struct {
	Breaker
	state BreakerState
	row   int // failures in a row, while closed
	trips int // times that it has opened since it was closed
	last  window
	err   error // that opened it
	pause time.Duration
	until time.Time
	probe *entry // the delivery that is tried
	timer *time.Timer
}

func newBreaker(c Breaker) *breaker {
	c.Failures = cmp.Or(c.Failures, 10)
	if c.Window <= 0 {
		c.Window = 100
	}
	if c.Pause <= 0 {
		c.Pause = 10 * time.Second
	}
	if c.MaxPause <= 0 {
		c.MaxPause = 2 * time.Minute
	}
	c.MaxPause = max(c.MaxPause, c.Pause)
	b := &breaker{Breaker: c}
	if c.Rate > 0 {
		b.last.failed = make([]bool, c.Window)
	}
	return b
}

// counts reports whether err tells of an outage. It is anybody's code, called without the lock.
func (b *breaker) counts(err error) bool {
	if b.Counts != nil {
		return b.Counts(err)
	}
	st := steering(err)
	return st == nil || st.way != wayPermanent
}

// attempt takes note of one more attempt while the breaker is closed, and reports whether it opens it.
func (b *breaker) attempt(failed bool) (opens bool) {
	b.last.add(failed)
	if !failed {
		b.row = 0
		return false
	}
	b.row++
	return b.Failures > 0 && b.row >= b.Failures || b.Rate > 0 && b.last.rate() >= b.Rate
}

// open says for how long; wait is what the handler asked for.
func (b *breaker) open(err error, wait time.Duration) {
	b.pause = b.MaxPause
	if doublings := min(b.trips, 62); b.Pause <= b.MaxPause>>doublings {
		b.pause = b.Pause << doublings
	}
	b.pause = max(b.pause, wait)
	b.trips++
	b.state, b.err, b.until = BreakerOpen, err, time.Now().Add(b.pause)
}

// reopen has the breaker go on where it was in an earlier process, and returns how long it stays open.
func (b *breaker) reopen(h Held) (left time.Duration) {
	b.state, b.err, b.trips, b.pause, b.until = BreakerOpen, errors.New(h.Err), h.Trips, h.Pause, h.Until
	return min(max(time.Until(h.Until), 0), h.Pause)
}

func (b *breaker) close() {
	b.state, b.err, b.row, b.trips, b.pause, b.until, b.probe = BreakerClosed, nil, 0, 0, 0, time.Time{}, nil
	b.last.clear()
}

// window is the outcomes of the last attempts.
type window struct {
	failed   []bool
	next     int
	seen     int
	failures int
}

func (w *window) add(failed bool) {
	if w.failed == nil {
		return
	}
	if w.seen < len(w.failed) {
		w.seen++
	} else if w.failed[w.next] {
		w.failures--
	}
	w.failed[w.next] = failed
	if failed {
		w.failures++
	}
	w.next = (w.next + 1) % len(w.failed)
}

// rate is the share of failures; 0 until the window is full.
func (w *window) rate() float64 {
	if w.seen < len(w.failed) || w.seen == 0 {
		return 0
	}
	return float64(w.failures) / float64(w.seen)
}

func (w *window) clear() { w.next, w.seen, w.failures = 0, 0, 0 }

func validRate(r float64) bool { return r >= 0 && r <= 1 && !math.IsNaN(r) }
