package jitney

import (
	"errors"
	"math"
	"time"
)

// RetryPolicy decides whether, and when, a failed delivery is tried again.
type RetryPolicy interface {
	// Next is asked after attempt attempts (1 after the first), elapsed after the first of them failed.
	// random is uniform in [0, 1). It is pure: the same arguments, the same answer. A wait below zero
	// counts as zero. It may be called by several goroutines at once.
	Next(attempt int, elapsed time.Duration, random float64) (wait time.Duration, again bool)
}

// Retry tries again with exponential backoff. The zero value is ready to use.
type Retry struct {
	// Attempts is how often the handler is called at most, the first time included. Default 5.
	Attempts int
	// Base and Max bound the wait: before attempt k+1 it is at most min(Max, Base·2^(k-1)).
	// Defaults 100 ms and 30 s; Max is at least Base.
	Base, Max time.Duration
	// MaxElapsed is how long after the first failure an attempt may begin; the time that a pause or an
	// open breaker holds the delivery back does not count. Default 0: no limit.
	MaxElapsed time.Duration
	// Jitter says how much of the wait is left to chance. Default FullJitter.
	Jitter Jitter
}

// Jitter spreads the attempts of deliveries that failed together, so that they do not come back
// together. The names are those of Marc Brooker, "Exponential Backoff And Jitter", AWS, 2015.
type Jitter int

const (
	// FullJitter waits anything from 0 to the bound.
	FullJitter Jitter = iota
	// EqualJitter waits at least half of the bound.
	EqualJitter
	// NoJitter waits just the bound.
	NoJitter
)

// Next implements RetryPolicy.
func (r Retry) Next(attempt int, elapsed time.Duration, random float64) (time.Duration, bool) {
	r = r.withDefaults()
	if attempt >= r.Attempts {
		return 0, false
	}
	wait := r.Jitter.of(r.bound(attempt), random)
	if r.MaxElapsed > 0 && (elapsed > r.MaxElapsed || wait > r.MaxElapsed-elapsed) {
		return 0, false
	}
	return wait, true
}

func (r Retry) withDefaults() Retry {
	if r.Attempts <= 0 {
		r.Attempts = 5
	}
	if r.Base <= 0 {
		r.Base = 100 * time.Millisecond
	}
	if r.Max <= 0 {
		r.Max = 30 * time.Second
	}
	r.Max = max(r.Max, r.Base)
	return r
}

// bound is min(Max, Base·2^(attempt-1)). Comparing Max shifted down, not Base shifted up, cannot overflow.
func (r Retry) bound(attempt int) time.Duration {
	doublings := min(max(attempt-1, 0), 63)
	if r.Base > r.Max>>doublings {
		return r.Max
	}
	return r.Base << doublings
}

func (j Jitter) of(bound time.Duration, random float64) time.Duration {
	random = min(max(random, 0), math.Nextafter(1, 0))
	switch j {
	case NoJitter:
		return bound
	case EqualJitter:
		half := bound / 2
		return half + time.Duration(random*float64(bound-half))
	default:
		return time.Duration(random * float64(bound))
	}
}

// A handler steers what becomes of its delivery by what it returns. If an error says several things,
// Skip goes before Permanent, and Permanent before RetryAfter.

type steer struct {
	error
	way  way
	wait time.Duration
}

type way uint8

const (
	waySkip way = iota + 1
	wayPermanent
	wayRetryAfter
)

func (s *steer) Unwrap() error { return s.error }

// Permanent marks err as one that no further attempt can cure: the delivery is dead at once.
// Permanent(nil) is nil.
func Permanent(err error) error { return steered(err, wayPermanent, 0) }

// Skip says that the event is none of the subscriber's business, for the reason err: the delivery is
// settled and counted as skipped, neither handled nor failed. Skip(nil) skips without a reason.
func Skip(err error) error {
	if err == nil {
		err = errSkipped
	}
	return steered(err, waySkip, 0)
}

// RetryAfter asks for the next attempt d from now, instead of when the retry policy would have it; for a
// server's "Retry-After", say. The policy still bounds the attempts and the time: without WithRetry there is no next
// attempt. A negative d counts as 0. RetryAfter(d, nil) is nil.
func RetryAfter(d time.Duration, err error) error { return steered(err, wayRetryAfter, max(d, 0)) }

var errSkipped = errors.New("skipped")

func steered(err error, w way, wait time.Duration) error {
	if err == nil {
		return nil
	}
	return &steer{err, w, wait}
}

// steering returns the instruction of the highest rank in err, or nil.
func steering(err error) *steer {
	var best *steer
	find(err, func(e error) bool {
		if s, ok := e.(*steer); ok && (best == nil || s.way < best.way) {
			best = s
		}
		return false
	})
	return best
}

// asked is how long a handler's RetryAfter says to wait.
func asked(err error) time.Duration {
	if st := steering(err); st != nil {
		return st.wait
	}
	return 0
}

// next decides on a delivery that has failed, as r says.
func (s *Subscription) next(f *file, r result, now time.Time) (wait time.Duration, again bool, reason string) {
	st := steering(r.err)
	if st != nil && st.way == wayPermanent {
		return 0, false, ReasonPermanent
	}
	if s.retry == nil {
		return 0, false, ReasonExhausted
	}
	held := s.queue.heldBack(now)
	if f.attempts == 1 {
		f.held = held
	}
	elapsed := max(now.Sub(f.first)-(held-f.held), 0)
	if st != nil && st.way == wayRetryAfter {
		// The wait is given; the policy is asked about its bounds alone, as of then.
		_, again = s.retry.Next(f.attempts, elapsed+min(st.wait, math.MaxInt64-elapsed), 0)
		return st.wait, again, ReasonExhausted
	}
	wait, again = s.retry.Next(f.attempts, elapsed, r.random())
	return max(wait, 0), again, ReasonExhausted
}
