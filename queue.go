package jitney

import (
	"fmt"
	"sync"
	"time"
)

// Overflow says what a full queue does with one more event.
type Overflow int

const (
	// Block makes the publisher wait for room, as long as its context and the bus's publish timeout
	// allow. A publishing handler does not wait: it uses the queue's reserve.
	Block Overflow = iota
	// Reject refuses the event with ErrQueueFull.
	Reject
	// DropOldest gives up the oldest delivery that is not in the handler. It is counted and logged.
	DropOldest
)

// queue holds one subscription's deliveries from acceptance to their end, and keeps its account.
//
// Deliveries stand in lanes. A lane is first in, first out, and at most one of its deliveries is with a
// worker; while the first one waits for another attempt, the lane waits. There is one lane, or one per
// key. Workers take ready lanes in turn. One lock guards everything, is held for a few instructions at
// a time, and never while other code is called.
type queue struct {
	limit    int
	reserve  int
	overflow Overflow
	keyed    bool
	settled  func() // called, with mu held, when no delivery is left, or runs no more after halt

	mu     sync.Mutex
	work   sync.Cond
	parked int // workers that wait for work
	single lane
	lanes  map[string]*lane // by key, if keyed: those with something in them
	ready  laneList
	room   []*waiter // publishers that wait for room, first come first served

	oldest, newest *entry // every delivery that has not ended, in the order of acceptance
	free           *entry
	frees          int
	stats          Stats

	outside, inside error // what publishers, and publishing handlers, are refused with; nil lets them in
	halted          bool  // workers take no more
	watchdog        watchdog
}

// entry is one delivery on its way through a queue. Only the worker that runs it touches file.
type entry struct {
	parcel
	file *file // what has gone wrong so far; nil while nothing has

	state   state
	reports uint8 // times the watchdog has named it
	seen    int64 // when the watchdog first saw it run, Unix ns
	lane    *lane
	next    *entry // behind it in its lane
	older   *entry
	newer   *entry
}

// parcel is what is asked of a queue.
type parcel struct {
	env    *Envelope
	at     int64       // Unix ns
	again  *redelivery // nil unless it comes from the dead letters
	inside bool        // a handler publishes it
}

type state uint8

const (
	queued state = iota
	running
	waiting
)

// verdict is what becomes of a delivery after an attempt.
type verdict struct {
	ending ending
	wait   time.Duration // before the next attempt
}

type ending uint8

const (
	handled ending = iota
	skipped
	dead
	again       // another attempt, after verdict.wait
	held        // no fault of the handler's: on after verdict.wait, when a store may work again
	interrupted // neither ended nor tried again: Shutdown or Close will name it
)

// lane is the deliveries of one key.
type lane struct {
	key        string
	head, tail *entry
	state      laneState
	timer      *time.Timer // wakes a waiting lane
	wait       int         // tells one wait from another
	next       *lane       // behind it in laneList
}

type laneState uint8

const (
	laneIdle laneState = iota
	laneReady
	laneRunning
	laneWaiting
)

type laneList struct{ first, last *lane }

// maxFree is how many entries a queue keeps for reuse: 80 KiB of them.
const maxFree = 1024

// init makes q usable. workers is 0 for a single lane.
func (q *queue) init(workers int) {
	q.work.L = &q.mu
	q.keyed = workers > 0
	if q.keyed {
		q.lanes = make(map[string]*lane)
	}
}

// offer takes p on, refuses it, or, when its publisher has to wait for room, returns where. dropped is
// the delivery that had to go for it.
func (q *queue) offer(p parcel) (w *waiter, dropped *entry, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	held := q.stats.Queued + q.stats.Waiting
	switch {
	case p.inside && q.inside != nil:
		err = q.inside
	case !p.inside && q.outside != nil:
		err = q.outside
	case held < q.limit && (len(q.room) == 0 || p.inside):
		q.accept(p)
	case q.overflow == Reject:
		err = fmt.Errorf("%w: it holds %d", ErrQueueFull, held)
	case q.overflow == DropOldest:
		dropped = q.dropOldest()
		q.accept(p)
	case !p.inside:
		w = q.enlist(p)
	case held < q.limit+q.reserve:
		q.accept(p)
	default:
		err = fmt.Errorf("%w: they hold %d", ErrOverflow, held)
	}
	if err != nil {
		q.stats.Refused++
	}
	return w, dropped, err
}

// begin takes p on and runs it at once: the subscription handles in its publisher's goroutine.
func (q *queue) begin(p parcel) (*entry, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.outside; err != nil && !p.inside {
		q.stats.Refused++
		return nil, err
	}
	if err := q.inside; err != nil {
		q.stats.Refused++
		return nil, err
	}
	e := q.enter(p)
	q.stats.Running++
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
	if q.oldest != nil {
		s.Oldest = time.Unix(0, q.oldest.at)
	}
	return s
}

// refuse keeps publishers out from now on: outside, and inside unless it is nil, are what they are told.
func (q *queue) refuse(outside, inside error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.outside = outside
	if inside != nil {
		q.inside = inside
		q.work.Broadcast() // the workers may go when all is done
	}
}

// halt makes the workers go after the delivery they have, and sends away the publishers that wait.
func (q *queue) halt() {
	q.mu.Lock()
	defer q.mu.Unlock()
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

// stop ends the watchdog's timer. The last to leave calls it.
func (q *queue) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.watchdog.stop()
}

// remaining calls f for every delivery that has not ended, oldest first, with the lock held.
func (q *queue) remaining(f func(*entry)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for e := q.oldest; e != nil; e = e.newer {
		f(e)
	}
}

// What follows is called with mu held.

func (q *queue) takeLocked() *entry {
	for !q.halted {
		if l := q.pop(); l != nil {
			return q.start(l)
		}
		if q.inside != nil && q.oldest == nil {
			return nil
		}
		q.parked++
		q.work.Wait()
		q.parked--
	}
	return nil
}

func (q *queue) start(l *lane) *entry {
	e := l.head
	l.state = laneRunning
	e.state, e.seen, e.reports = running, 0, 0
	q.stats.Queued--
	q.stats.Running++
	q.grant()
	q.watchdog.arm()
	return e
}

func (q *queue) settleLocked(e *entry, v verdict) {
	if e.state == running {
		q.stats.Running--
	} else {
		q.stats.Waiting-- // a publisher that gave up between two attempts
	}
	switch v.ending {
	case again:
		q.stats.Retried++
		q.postpone(e, v.wait)
		return
	case held:
		q.postpone(e, v.wait)
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
	}
	if l := e.lane; l != nil {
		q.unlane(e)
		q.requeue(l)
	}
	q.leave(e)
	q.recycle(e)
}

// postpone keeps e at the head of its lane until another attempt is due.
func (q *queue) postpone(e *entry, wait time.Duration) {
	q.stats.Waiting++
	e.state = waiting
	l := e.lane
	l.state = laneWaiting
	l.wait++
	this := l.wait
	if q.halted {
		q.settled()
		return
	}
	l.timer = time.AfterFunc(wait, func() { q.due(l, this) })
}

func (q *queue) due(l *lane, wait int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.halted || l.state != laneWaiting || l.wait != wait {
		return
	}
	l.timer = nil
	l.head.state = queued
	q.stats.Waiting--
	q.stats.Queued++
	l.state = laneIdle
	q.requeue(l)
}

// requeue makes l ready if anything is in it, and forgets it otherwise.
func (q *queue) requeue(l *lane) {
	l.state = laneIdle
	switch {
	case l.head != nil:
		q.push(l)
	case q.keyed:
		delete(q.lanes, l.key)
	}
}

func (q *queue) push(l *lane) {
	l.state = laneReady
	if q.ready.last == nil {
		q.ready.first = l
	} else {
		q.ready.last.next = l
	}
	q.ready.last = l
	if q.parked > 0 {
		q.work.Signal()
	}
}

// pop returns the next ready lane. One that dropOldest has emptied is forgotten on the way.
func (q *queue) pop() *lane {
	for q.ready.first != nil {
		l := q.ready.first
		q.ready.first, l.next = l.next, nil
		if q.ready.first == nil {
			q.ready.last = nil
		}
		if l.head != nil {
			return l
		}
		q.requeue(l)
	}
	return nil
}

func (q *queue) accept(p parcel) {
	e := q.enter(p)
	q.stats.Queued++
	l := q.laneOf(p.env.Key)
	e.lane = l
	if l.tail == nil {
		l.head = e
	} else {
		l.tail.next = e
	}
	l.tail = e
	if l.state == laneIdle {
		q.push(l)
	}
}

func (q *queue) laneOf(key string) *lane {
	if !q.keyed {
		return &q.single
	}
	l := q.lanes[key]
	if l == nil {
		l = &lane{key: key}
		q.lanes[key] = l
	}
	return l
}

// enter puts p on the books.
func (q *queue) enter(p parcel) *entry {
	e := q.free
	if e == nil {
		e = new(entry)
	} else {
		q.free, e.next = e.next, nil
		q.frees--
	}
	e.parcel = p
	q.stats.Accepted++
	e.older = q.newest
	if q.newest == nil {
		q.oldest = e
	} else {
		q.newest.newer = e
	}
	q.newest = e
	return e
}

// leave takes e off the books.
func (q *queue) leave(e *entry) {
	if e.older == nil {
		q.oldest = e.newer
	} else {
		e.older.newer = e.newer
	}
	if e.newer == nil {
		q.newest = e.older
	} else {
		e.newer.older = e.older
	}
	if q.oldest == nil || q.halted {
		if q.inside != nil {
			q.work.Broadcast()
		}
		q.settled()
	}
}

func (q *queue) recycle(e *entry) {
	if q.frees == maxFree {
		return
	}
	*e = entry{next: q.free}
	q.free = e
	q.frees++
}

// unlane takes e out of its lane, where it is the first, or the second behind one that runs.
func (q *queue) unlane(e *entry) {
	l := e.lane
	before := l.head
	if before == e {
		l.head, before = e.next, nil
	} else {
		before.next = e.next
	}
	if l.tail == e {
		l.tail = before
	}
	e.next = nil
}

// dropOldest gives up the oldest delivery that does not run, and returns it.
func (q *queue) dropOldest() *entry {
	e := q.oldest
	for e.state == running {
		e = e.newer
	}
	if e.state == waiting {
		q.stats.Waiting--
	} else {
		q.stats.Queued--
	}
	q.stats.Dropped++
	l := e.lane
	q.unlane(e)
	if l.state == laneWaiting {
		l.timer.Stop()
		q.requeue(l)
	}
	q.leave(e)
	return e
}
