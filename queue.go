package jitney

import "sync"

// queue holds one subscription's deliveries from acceptance to their end, and keeps its account.
//
// What comes in is left in the intake, and goes to its lane when a worker has run out of work. A lane is first in, first out, and at most one of its deliveries is with a
// worker; while the first one waits for another attempt, the lane waits. There is one lane, or one per
// key. Workers take ready lanes in turn, or share by share, while the gate is open; what may not run
// because a dead letter of its key is before it, they put aside into the parking. One lock guards
// everything, is held for a few instructions at a time, and never while other code is called.
type queue struct {
	limit    int
	reserve  int
	overflow Overflow
	keyed    bool
	roomier  func() // called, with mu held, when what is in lanes that wait for long leaves room for others; nil but for a feed
	settled  func() // called, with mu held, when no delivery is left, or runs no more after halt
	staff    func() // called once, with mu held, when the first delivery is accepted: starts the workers; then nil

	intake intake

	mu     sync.Mutex
	work   sync.Cond // on both locks
	stock  []parcel  // what was taken out of the intake last, and
	staged []parcel  // the part of it that stands in no lane yet
	taken  uint8     // deliveries, roughly
	single lane
	lanes  map[string]*lane // by key, if keyed: those with something in them
	ready  laneList
	room   []*waiter // publishers that wait for room, first come first served

	oldest, newest *entry // every delivery that has not ended, in the order of acceptance
	moves          uint64 // times that deliveries which had been held back were let go
	kept           int    // lanes that wait, and the journal knows of that
	asleep         int    // deliveries in them
	free           *entry
	frees          int
	stats          Stats

	callers         int   // publishers that have begun a delivery, and not settled it: of a synchronous subscription
	outside, inside error // what publishers, and publishing handlers, are refused with; nil lets them in
	halted          bool  // workers take no more
	watchdog        watchdog

	gate     gate      // whether deliveries may start
	parking  parking   // deliveries behind a dead letter of their key
	shares   *shares   // nil unless WithFairShare
	batching *batching // nil unless it hands over batches
	news     news      // what is to be told once the lock is free
}

// init makes q usable. workers is 0 for a single lane.
func (q *queue) init(workers int) {
	q.work.L = both{q}
	q.keyed = workers > 0
	if q.keyed {
		q.lanes = make(map[string]*lane)
	}
	q.reckon()
}

// begin takes p on and runs it at once: the subscription handles in its publisher's goroutine.
func (q *queue) begin(p parcel, inside bool) (*entry, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.outside; err != nil && !inside {
		q.stats.Refused++
		return nil, err
	}
	if err := q.inside; err != nil {
		q.stats.Refused++
		return nil, err
	}
	if q.gate.paused {
		q.stats.Refused++
		return nil, ErrPaused
	}
	e := q.enter(p)
	q.stats.Running++
	q.callers++
	e.state = running
	q.watchdog.arm()
	return e, nil
}

// take returns the next delivery to run, or nil when there will be no more.
func (q *queue) take() *entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.takeLocked()
}

// turn settles e and takes the next.
func (q *queue) turn(e *entry, v verdict) *entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.settleLocked(e, v)
	return q.takeLocked()
}

// settle writes down what became of e.
func (q *queue) settle(e *entry, v verdict) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.settleLocked(e, v)
}

// finish is settle for a synchronous subscription.
func (q *queue) finish(e *entry, v verdict) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.callers--
	q.settleLocked(e, v)
}

// hold marks a running delivery as waiting, and resume as running again, while its publisher's
// goroutine waits for the next attempt.
func (q *queue) hold(e *entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e.state = waiting
	q.stats.Retried++
	q.stats.Running--
	q.stats.Waiting++
}

func (q *queue) resume(e *entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e.state, e.seen = running, 0
	q.stats.Waiting--
	q.stats.Running++
	q.watchdog.arm()
}

// count changes counters that are not part of the balance.
func (q *queue) count(change func(*Stats)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	change(&q.stats)
}

func (q *queue) snapshot() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.stats
	n := q.pending()
	s.Accepted += uint64(n)
	s.Queued += n
	s.Paused = q.gate.paused
	if b := q.gate.breaker; b != nil {
		s.Breaker = b.state
	}
	if q.oldest != nil {
		s.Oldest = q.oldest.at()
	} else if n > 0 {
		first := q.firstPending()
		s.Oldest = first.at()
	}
	return s
}

// What follows is called with mu held.

func (q *queue) takeLocked() *entry {
	for !q.halted {
		if !q.gate.shut {
			if q.taken++; q.taken%gatherEvery == 0 && q.keyed {
				q.gather()
			}
			l := q.pop()
			if l == nil {
				l = q.fetch()
			}
			if l != nil {
				if len(q.parking.byKey) > 0 && q.divert(l) {
					continue
				}
				return q.start(l)
			}
		}
		if q.inside != nil && q.empty() {
			return nil
		}
		if (q.parking.blocked != nil || q.kept > 0) && q.idle() {
			q.settled() // the last of what had come in has joined a lane that stands still
		}
		q.rest()
	}
	return nil
}

func (q *queue) start(l *lane) *entry {
	e := l.head
	l.state = laneRunning
	e.state, e.seen, e.reports = running, 0, 0
	q.stats.Queued--
	q.stats.Running++
	if q.gate.breaker != nil {
		q.gate.begin(e)
	}
	if len(q.room) > 0 {
		q.grant(e.share)
	}
	q.watchdog.arm()
	return e
}

func (q *queue) settleLocked(e *entry, v verdict) {
	if e.state == running {
		q.stats.Running--
	} else {
		q.stats.Waiting-- // a publisher that gave up between two attempts
	}
	if q.gate.breaker != nil && !v.mute {
		q.observe(e, v)
	}
	if (q.gate.paused || q.parking.blocked != nil || q.kept > 0) && q.idle() {
		q.settled()
	}
	if e.rare != nil && e.rare.ran != nil {
		v = q.ran(e, v)
	}
	switch v.ending {
	case again:
		q.stats.Retried++
		q.postpone(e, v)
		return
	case held:
		q.postpone(e, v)
		return
	case spared:
		q.stats.Spared++
		q.putBack(e)
		return
	case interrupted:
		q.stats.Waiting++
		e.state = waiting
		q.settled()
		return
	case handled:
		q.stats.Handled++
	case skipped:
		q.stats.Skipped++
	case dead:
		q.stats.Dead++
	case recalled:
		q.stats.Recalled++
	case failed:
		q.stats.Failed++
	}
	if l := e.lane; l != nil {
		q.unlane(e)
		q.requeue(l)
	}
	if q.parking.limit > 0 {
		q.stand(e, v)
	}
	q.leave(e)
	q.recycle(e)
}

func (q *queue) accept(p parcel) {
	if l := q.place(p); l.state == laneIdle {
		q.push(l)
	}
}

// place puts p at the end of its lane.
func (q *queue) place(p parcel) *lane {
	e := q.enter(p)
	q.stats.Queued++
	l := q.laneOf(e)
	e.lane = l
	if l.tail == nil {
		l.head = e
	} else {
		l.tail.next = e
	}
	l.tail = e
	if l.kept {
		q.sleep(l)
	}
	return l
}
