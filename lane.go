package jitney

import "time"

// lane is the deliveries of one key, or those without a key.
type lane struct {
	key        string
	keyless    bool // the lane of a share's deliveries without a key
	head, tail *entry
	state      laneState
	timer      *time.Timer // wakes a waiting lane
	wait       int         // tells one wait from another
	kept       bool        // it waits, and the journal knows of that
	asleep     int         // deliveries in it, as counted in queue.asleep
	next       *lane       // behind it in laneList
}

type laneState uint8

const (
	laneIdle laneState = iota
	laneReady
	laneRunning
	laneWaiting
	laneLent    // its first deliveries are out, as a part of a batch, and do not stand in it
	laneBlocked // its first delivery ought to be parked, and the parking is full
)

// laneList is lanes in the order they are taken.
type laneList struct{ first, last *lane }

func (list *laneList) push(l *lane) {
	if list.last == nil {
		list.first = l
	} else {
		list.last.next = l
	}
	list.last = l
}

func (list *laneList) pop() *lane {
	l := list.first
	if l == nil {
		return nil
	}
	list.first, l.next = l.next, nil
	if list.first == nil {
		list.last = nil
	}
	return l
}

// What follows is called with the queue's lock held.

func (q *queue) laneOf(e *entry) *lane {
	key := e.env.Key
	switch {
	case !q.keyed:
		return &q.single
	case key == "" && e.share != nil:
		return &e.share.keyless
	}
	l := q.lanes[key]
	if l == nil {
		l = &lane{key: key}
		q.lanes[key] = l
	}
	return l
}

// requeue makes l ready if anything is in it, and forgets it otherwise.
func (q *queue) requeue(l *lane) {
	l.state = laneIdle
	switch {
	case l.head != nil:
		q.push(l)
	case q.keyed && !l.keyless:
		delete(q.lanes, l.key)
	}
}

func (q *queue) push(l *lane) {
	l.state = laneReady
	if q.shares != nil {
		q.shares.push(l)
	} else {
		q.ready.push(l)
	}
	if q.intake.resting > 0 && !q.gate.shut {
		q.work.Signal()
	}
}

// pop returns the next ready lane. One that dropOldest has emptied is forgotten on the way.
func (q *queue) pop() *lane {
	for {
		var l *lane
		if q.shares != nil {
			l = q.shares.pop()
		} else {
			l = q.ready.pop()
		}
		if l == nil || l.head != nil {
			return l
		}
		q.requeue(l)
	}
}

// unlane takes e out of its lane.
func (q *queue) unlane(e *entry) {
	l := e.lane
	var before *entry
	for at := l.head; at != e; at = at.next { // it is the first, or near it
		before = at
	}
	if before == nil {
		l.head = e.next
	} else {
		before.next = e.next
	}
	if l.tail == e {
		l.tail = before
	}
	e.next = nil
}

// insert puts the deliveries from first to last at the head of l, behind one that is out.
func (l *lane) insert(first, last *entry) {
	if l.state == laneRunning || l.state == laneWaiting {
		last.next = l.head.next
		l.head.next = first
	} else {
		last.next = l.head
		l.head = first
	}
	if last.next == nil {
		l.tail = last
	}
}

// putBack leaves e in its place, for when the gate lets it run again.
func (q *queue) putBack(e *entry) {
	e.state = queued
	q.stats.Queued++
	q.reckon()
	q.requeue(e.lane)
}

// postpone keeps e at the head of its lane until another attempt is due.
func (q *queue) postpone(e *entry, v verdict) {
	q.stats.Waiting++
	q.reckon()
	e.state = waiting
	l := e.lane
	l.state = laneWaiting
	l.wait++
	this := l.wait
	if q.halted {
		q.settled()
		return
	}
	l.timer = time.AfterFunc(v.wait, func() { q.due(l, this) })
	if v.kept {
		l.kept = true
		q.kept++
		for e := l.head; e != nil; e = e.next {
			q.sleep(l)
		}
		if q.idle() {
			q.settled()
		}
	}
}

// sleep notes that another delivery is in a lane that may wait for long. So that other keys flow meanwhile, it does not
// count against the bound, which is for what is on its way; maxAsleep is its bound.
func (q *queue) sleep(l *lane) {
	l.asleep++
	q.asleep++
	if q.roomier != nil {
		q.roomier()
	}
}

// aside is how many deliveries are here and do not count against the bound.
func (q *queue) aside() int { return q.stats.Parked + q.resting() }

// resting is how many of those asleep do not count.
func (q *queue) resting() int { return min(q.asleep, maxAsleep*q.limit) }

// maxAsleep is how many times what the buffer holds may be asleep beyond that.
const maxAsleep = 10

func (q *queue) due(l *lane, wait int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.halted || l.state != laneWaiting || l.wait != wait {
		return
	}
	l.timer = nil
	q.wakeUp(l)
	q.reckon()
	l.head.state = queued
	q.stats.Waiting--
	q.stats.Queued++
	l.state = laneIdle
	q.requeue(l)
}

// wakeUp notes that l waits no longer.
func (q *queue) wakeUp(l *lane) {
	if !l.kept {
		return
	}
	l.kept = false
	q.kept--
	q.asleep -= l.asleep
	l.asleep = 0
}
