package jitney

import "time"

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

// What follows is called with the queue's lock held.

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
