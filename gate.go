package jitney

import (
	"log/slog"
	"time"
)

// gate says whether deliveries may start: not while the subscription is paused, nor while its breaker is
// open, nor while the one delivery that a half-open breaker lets through is under way. Its fields are
// guarded by the queue's lock.
type gate struct {
	shut    bool
	paused  bool
	breaker *breaker // nil without WithBreaker

	since time.Time     // when it was shut
	held  time.Duration // how long it has been shut in all, until since
}

// Pause keeps further deliveries of s from starting, until Resume. Those in the handler go on to their end;
// the others wait, as do their publishers when the queue is full: nothing is dropped by the pause. A
// subscription made WithSync refuses its publishers with ErrPaused meanwhile. On a durable subscription the pause
// outlives the process.
//
// Flush waits for what is held back, Shutdown and Close do not: they return it.
func (s *Subscription) Pause() { s.pause(true, "jitney: subscription paused") }

// Resume ends a pause, and closes the breaker if it is not closed.
func (s *Subscription) Resume() { s.pause(false, "jitney: subscription resumed") }

func (s *Subscription) pause(on bool, text string) {
	if s.feed != nil {
		s.feed.pause(on)
	} else {
		s.queue.pause(on)
	}
	s.bus.log(s.life, slog.LevelInfo, text, slog.String("subscriber", s.name), slog.String("called_at", caller()))
}

func (q *queue) pause(on bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.gate.paused = on
	q.moves++
	if b := q.gate.breaker; !on && b != nil && b.state != BreakerClosed {
		q.shift(func() { b.close() })
	}
	q.regate()
	q.settled()           // Shutdown does not wait for what is paused
	if q.roomier != nil { // it is a journal's
		q.tell(notice{held: true})
	}
}

// holding is what holds q back.
func (q *queue) holding() Held {
	h, err := q.heldBy()
	if err != nil {
		h.Err = errorText(err) // anybody's code, which may look at the queue
	}
	return h
}

func (q *queue) heldBy() (h Held, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	h.Paused = q.gate.paused
	if b := q.gate.breaker; b != nil && b.state != BreakerClosed {
		h.Until, h.Pause, h.Trips, err = b.until.Round(0), b.pause, b.trips, b.err
	}
	return h, err
}

// holdAgain holds q back as an earlier process did.
func (q *queue) holdAgain(h Held) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.gate.paused = h.Paused
	if b := q.gate.breaker; b != nil && !h.Until.IsZero() && !q.halted {
		q.shift(func() { b.timer = time.AfterFunc(b.reopen(h), q.halfOpen) })
	}
	q.moves++
	q.regate()
	q.settled()
}

// idle reports whether what is left is held back until somebody does something about it, by a pause or by a full
// parking, or is the journal's. Called with mu held.
func (q *queue) idle() bool {
	if q.stats.Running > 0 {
		return false
	}
	return q.gate.paused || (len(q.parking.blocked) > 0 || q.kept > 0) && q.stats.Waiting == q.kept && !q.anyReady() && (!q.keyed || q.pending() == 0)
}

func (q *queue) anyReady() bool {
	if q.shares != nil {
		return q.shares.first != nil
	}
	return q.ready.first != nil
}

// regate lets the workers know whether they may start deliveries. Called with mu held.
func (q *queue) regate() {
	g := &q.gate
	b := g.breaker
	g.close(g.paused || b != nil && (b.state == BreakerOpen || b.state == BreakerHalfOpen && b.probe != nil))
	if !g.shut {
		q.work.Broadcast()
	}
}

// close shuts the gate, or opens it, and keeps the time.
func (g *gate) close(shut bool) {
	switch {
	case shut && !g.shut:
		g.since = time.Now()
	case !shut && g.shut:
		g.held += time.Since(g.since)
	}
	g.shut = shut
}

// heldBack is how long deliveries have been held back in all until now.
func (q *queue) heldBack(now time.Time) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gate.shut {
		return q.gate.held + now.Sub(q.gate.since)
	}
	return q.gate.held
}

// begin is called, with the lock held, when e starts and there is a breaker.
func (g *gate) begin(e *entry) {
	if b := g.breaker; b.state == BreakerHalfOpen {
		b.probe = e
		g.close(true)
	}
}

func (g *gate) stop() {
	if g.breaker != nil && g.breaker.timer != nil {
		g.breaker.timer.Stop()
	}
}

// failed takes note of an attempt of e that failed with err, and reports whether the attempt is spared:
// not used up, because the breaker is not closed. wait is how long the handler asked to wait.
func (q *queue) failed(e *entry, err error, wait time.Duration) (spare bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := q.gate.breaker
	switch {
	case b.state == BreakerClosed && !b.attempt(true):
		return false
	case b.state == BreakerClosed, e == b.probe:
		q.shift(func() { b.open(err, wait) })
		b.probe = nil
		q.stats.Opened++
		q.regate()
		if !q.halted {
			b.timer = time.AfterFunc(b.pause, q.halfOpen)
		}
	}
	return true
}

// halfOpen is called by the breaker's timer.
func (q *queue) halfOpen() {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := q.gate.breaker
	if b.state != BreakerOpen || q.halted {
		return
	}
	q.shift(func() { b.state = BreakerHalfOpen })
	q.regate()
}

// observe tells the breaker how e's attempt has ended. Called with mu held.
func (q *queue) observe(e *entry, v verdict) {
	b := q.gate.breaker
	switch {
	case e == b.probe && v.ending == handled:
		q.shift(b.close)
		q.regate()
	case e == b.probe: // it has told nothing: the next one is tried
		b.probe = nil
		q.regate()
	case b.state == BreakerClosed && v.ending == handled:
		b.attempt(false)
	}
}

// shift changes the breaker's state, and lets it be known. Called with mu held.
func (q *queue) shift(change func()) {
	b := q.gate.breaker
	from := b.state
	if b.timer != nil {
		b.timer.Stop()
	}
	change()
	q.tell(notice{breaker: BreakerChange{From: from, To: b.state, Err: b.err, Pause: b.pause}})
}
