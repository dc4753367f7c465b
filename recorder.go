package jitney

import (
	"context"
	"time"
)

// Recorder is told what happens on a bus while it happens: package why makes the story of a flow of it, and package
// flowmap a map of all flows. Its methods are called by several goroutines at once, in the publisher's or the worker's
// own time, and must not wait. Their panics are contained. They may keep neither Event nor Headers, nor change anything.
type Recorder interface {
	// Published is called for each event that is published, scheduled events when they are due, or forwarded, also
	// for one that nobody hears: before any queue has it, or, with a journal, once it is stored. An event that is tried
	// again for those that have refused it comes again. by is the delivery in whose handler that was, as FromContext
	// tells it; to names the subscribers it is for, in the order of Subscribe.
	//
	// It is called for each question as well, before it is answered: env is the question's, by is the delivery in whose
	// handler it is asked, and to names its answerer. One that nobody answers, or beyond the hop limit, is not told of.
	Published(env *Envelope, by *Delivery, to []string)
	// Attempted is called after each attempt, before anybody knows of its outcome, and when a delivery ends without one.
	Attempted(a Attempted)
}

// Attempted is an attempt that is over, and what becomes of its delivery.
type Attempted struct {
	Delivery
	// Began is when the attempt began, and Took how long it was; both are zero if there was none, or
	// runtime.Goexit has ended it.
	Began time.Time
	Took  time.Duration
	// Error is the text of what went wrong, at most 4 KiB; "" if nothing did.
	Error string
	// Outcome is "handled", "skipped" or "dead"; or the delivery goes on: "retry" after Wait, "held" for Wait because
	// the inbox or the letter store did not work, "spared" until the breaker closes or in a smaller batch, "untried" by
	// its batch's handler, "recalled" by the journal for another process; "interrupted" says that Shutdown or Close will
	// name it. Without an attempt, "refused" says that the subscriber did not accept it, "filtered" that its filter did
	// not want it, and "dropped" that its queue was full. A question is "handled", "failed" or "refused", and its asker has the Error.
	Outcome string
	Wait    time.Duration
	// Reason is why it is dead: one of the Reason constants.
	Reason string
}

// recorders are those of a bus; nil, and not called, if there are none.
type recorders []Recorder

func (rs recorders) published(ctx context.Context, env *Envelope, to []*Subscription) {
	names := make([]string, len(to))
	for i, s := range to {
		names[i] = s.name
	}
	by := FromContext(ctx)
	for _, r := range rs {
		_ = contain(func() error { r.Published(env, by, names); return nil })
	}
}

func (rs recorders) attempted(a Attempted) {
	for _, r := range rs {
		_ = contain(func() error { r.Attempted(a); return nil })
	}
}

// refused tells of those that did not accept env. What a synchronous handler returned has been told already.
func (rs recorders) refused(env *Envelope, to []*Subscription, refusals []Refusal) {
	for _, refusal := range refusals {
		for _, s := range to {
			if s.name == refusal.Subscriber && !s.sync {
				rs.turnedAway(env, s, refusal.Err)
			}
		}
	}
}

func (rs recorders) turnedAway(env *Envelope, s *Subscription, err error) {
	d := Delivery{Envelope: env, Subscriber: s.name}
	rs.attempted(Attempted{Delivery: d, Outcome: "refused", Error: errorText(err)})
}

// filtered tells that s does not want env.
func (rs recorders) filtered(s *Subscription, env *Envelope) {
	if rs != nil {
		rs.attempted(Attempted{Delivery: Delivery{Envelope: env, Subscriber: s.name}, Outcome: "filtered"})
	}
}

// dropped tells that e was given up for another delivery.
func (rs recorders) dropped(s *Subscription, e *entry) {
	if rs != nil {
		a := e.attempted(s, 0, verdict{})
		a.Outcome = "dropped"
		rs.attempted(a)
	}
}

// tried is an attempt, for recorders: all but its number is zero if it was none, or nobody has watched it.
type tried struct {
	number int
	began  time.Time
	took   time.Duration
	err    error
}

// told tells what has become of e, and returns it. That it is held on is no news, unless an attempt was made.
func (s *Subscription) told(e *entry, v verdict, in tried) verdict {
	unwatched := in.began.IsZero()
	if s.bus.recorders == nil || unwatched && v.ending == held {
		return v
	}
	if unwatched && e.file != nil {
		in.err = e.file.last
	}
	a := e.attempted(s, in.number, v)
	a.Began, a.Took, a.Error = in.began, in.took, errorText(in.err)
	s.bus.recorders.attempted(a)
	return v
}

// attempted is what there is to tell of e after attempt number.
func (e *entry) attempted(s *Subscription, number int, v verdict) Attempted {
	a := Attempted{Delivery: Delivery{Envelope: e.env, Subscriber: s.name, Attempt: number}, Outcome: v.ending.String(), Wait: v.wait}
	if e.again() != nil {
		a.Redeliveries = e.again().letter.Redeliveries + 1
	}
	if e.file != nil && e.file.letter != nil {
		a.Reason = e.file.letter.Reason
	}
	return a
}
