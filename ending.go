package jitney

import "time"

// How a queue comes to its end: who is refused, when its workers go, and what is left then.

// refuse keeps publishers out from now on: outside, and inside unless it is nil, are what they are told.
func (q *queue) refuse(outside, inside error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	defer q.reckon()
	q.outside = outside
	if q.batching != nil {
		q.work.Broadcast() // what has come is a batch now
	}
	if inside != nil {
		q.inside = inside
		q.work.Broadcast() // the workers may go when all is done
	}
}

// halt makes the workers go after the delivery they have, and sends away the publishers that wait.
func (q *queue) halt() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.haltLocked()
}

// ended reports whether q is halted.
func (q *queue) ended() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.halted
}

// haltIdle halts a queue in which nothing but what is held back is left.
func (q *queue) haltIdle() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.idle() && !q.empty() {
		q.haltLocked()
	}
}

func (q *queue) haltLocked() {
	q.halted = true
	now := time.Now().UnixNano()
	for e := q.oldest; e != nil; e = e.newer {
		if e.state == running && e.seen == 0 {
			e.seen = now
		}
		if e.lane != nil && e.lane.timer != nil {
			e.lane.timer.Stop()
		}
	}
	for _, w := range q.room {
		q.stats.Refused++
		w.answer <- ErrClosed
	}
	q.room = nil
	q.work.Broadcast()
}

// over reports whether nothing is left to do, or nothing more will be done.
func (q *queue) over() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.empty() || q.halted || q.idle()
}

// busy reports whether any handler runs, or its publisher waits to run it again.
func (q *queue) busy() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.stats.Running > 0 || q.callers > 0
}

// look returns a number that rises whenever there is something new to do, and whether nothing is left to do.
func (q *queue) look(leaveHeld bool) (reasons uint64, still bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.pending()
	return q.stats.Accepted + uint64(n) + q.moves, q.oldest == nil && n == 0 || leaveHeld && q.idle()
}

// stop ends the timers. The last to leave calls it.
func (q *queue) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.watchdog.stop()
	q.gate.stop()
	if bt := q.batching; bt != nil && bt.timer != nil {
		bt.timer.Stop()
	}
	q.news.over = true
}

// remaining calls f for every delivery that has not ended, oldest first and the parked ones at the end,
// with the lock held.
func (q *queue) remaining(f func(*entry)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.gather()
	for e := q.oldest; e != nil; e = e.newer {
		f(e)
	}
	for _, p := range q.parking.parks() {
		for e := p.first; e != nil; e = e.next {
			f(e)
		}
	}
}
