package jitney

import (
	"math"
	"slices"
	"sync/atomic"
	"time"
)

// batching is when, and of what, a queue's workers make batches. It is guarded by the queue's lock.
type batching struct {
	most   int
	wait   time.Duration
	hurry  *atomic.Int32 // above 0 while somebody waits for all to be settled
	have   int           // deliveries that resting workers let wait for more; 0 if they wait for the first
	timer  *time.Timer   // wakes one of them when the wait is over
	halved uint64        // batches that failed as a whole
}

// batch is deliveries that a worker hands over in one call: the first ones of one lane, or of several. They do not stand
// in their lanes meanwhile. Like an entry, it is its worker's.
type batch struct {
	entries []*entry
	lanes   []*lane

	ran      bool      // the handler has returned, or will not
	whole    error     // what it returned, if that is about all
	halve    bool      // of whom none is to blame
	held     bool      // the inbox has failed before the handler was called
	errs     []error   // or else, of each
	known    []error   // of each, what the inbox knows without calling the handler
	undone   bool      // the inbox has marked none of them
	entered  bool      // the handler was called
	late     bool      // it has succeeded after its timeout
	counted  bool      // the breaker has seen it fail
	spared   bool      // and was not closed
	verdicts []verdict // of the first of them
	began    time.Time // when the handler was called, for recorders
	now      time.Time // of the verdicts
	random   float64   // for their waits: what failed together comes again together
}

func (b *batch) reset() {
	clear(b.entries)
	clear(b.lanes)
	*b = batch{entries: b.entries[:0], lanes: b.lanes[:0], verdicts: b.verdicts[:0]}
}

// takeBatch fills b with the next deliveries to hand over. It leaves it empty when there will be no more.
func (q *queue) takeBatch(b *batch) {
	b.reset()
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.halted {
		have, left := 0, time.Duration(0)
		hurried := q.batching.hurry.Load() > 0 // before gather: what whoever hurries has published is there then
		if !q.gate.shut {
			if q.keyed || q.single.state != laneWaiting && q.single.state != laneBlocked {
				q.gather()
			}
			for have, left = q.survey(hurried); left <= 0 && q.assemble(b); have, left = q.survey(hurried) {
				if len(b.entries) > 0 {
					return
				}
			}
		}
		if q.inside != nil && q.empty() {
			return
		}
		if (q.parking.blocked != nil || q.kept > 0) && q.idle() {
			q.settled()
		}
		q.restFor(have, left)
	}
}

// settleBatch writes down what became of b's deliveries. What has not ended comes back to the head of its lane.
func (q *queue) settleBatch(b *batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	b.tellBreaker()
	for i, e := range b.entries {
		v := b.verdicts[i]
		if v.ending.final() || e.rare != nil && e.rare.ran != nil {
			b.entries[i], e.lane = nil, nil // it stands in none
			q.settleLocked(e, v)
		}
	}
	for i, e := range slices.Backward(b.entries) {
		if e != nil {
			q.comeBack(e, b.verdicts[i])
		}
	}
	for _, l := range b.lanes {
		q.requeue(l)
	}
	q.reckon()
	if q.halted || (q.gate.paused || q.parking.blocked != nil || q.kept > 0) && q.idle() {
		q.settled()
	}
}

// tellBreaker leaves one verdict for the breaker to see: a batch is one attempt.
func (b *batch) tellBreaker() {
	if len(b.entries) == 1 {
		return
	}
	seen := b.counted
	for i := range b.verdicts {
		v := &b.verdicts[i]
		v.mute = seen || v.ending != handled
		seen = seen || !v.mute
	}
}

// nudge has the workers look again whether a batch is to begin.
func (q *queue) nudge() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.work.Broadcast()
}

// What follows is called with the queue's lock held.

// atMost is how many deliveries the next batch has at most.
func (q *queue) atMost() int {
	if b := q.gate.breaker; b != nil && b.state == BreakerHalfOpen {
		return 1
	}
	return min(q.batching.most, q.limit)
}

// survey returns how many deliveries could be in a batch now, and how long it may wait for others. Not at all, if
// something else is to be done with the first of them, or somebody hurries.
func (q *queue) survey(hurried bool) (have int, left time.Duration) {
	most := q.atMost()
	first := int64(math.MaxInt64)
	for l := q.ready.first; l != nil; l = l.next {
		for e := l.head; e != nil; e = e.next {
			if q.parking.of(e) != nil || e.early() {
				if e == l.head {
					return have, 0
				}
				break
			}
			if most = e.within(most); have >= most {
				return have, 0
			}
			have++
			first = min(first, e.came())
		}
	}
	bt := q.batching
	switch {
	case have == 0:
		return 0, 1
	case have >= most, q.outside != nil, hurried, len(q.room) > 0, q.held() >= q.limit:
		return have, 0
	}
	return have, min(time.Duration(first-time.Now().UnixNano())+bt.wait, bt.wait)
}

// within returns how many deliveries a batch of at most so many has at most if e is one of them.
func (e *entry) within(most int) int {
	switch {
	case e.again() != nil, e.crashes() > 0, e.progress() != nil, e.file != nil && e.file.letter != nil:
		return 1
	case e.most > 0:
		return min(most, int(e.most))
	}
	return most
}

// came is when e was accepted, Unix ns.
func (e *entry) came() int64 {
	if e.rare != nil && e.rare.came > 0 {
		return e.rare.came
	}
	return e.at().UnixNano()
}

// early reports whether e is to wait for its next attempt.
func (e *entry) early() bool {
	return e.file != nil && !e.file.due.IsZero() && time.Now().Before(e.file.due)
}

// assemble takes the next batch out of the ready lanes, or, if there is something else to be done with what stands first
// in one, does that. It reports whether there was any of it.
func (q *queue) assemble(b *batch) (some bool) {
	most := q.atMost()
	for l := q.peek(); l != nil && len(b.entries) < most; l = q.peek() {
		if e := l.head; q.parking.of(e) == nil && !e.early() && len(b.entries) >= e.within(most) {
			break
		}
		some = true
		q.ready.pop()
		switch e := l.head; {
		case q.parking.of(e) != nil:
			q.divert(l)
		case e.early():
			q.stats.Queued--
			q.postpone(e, verdict{wait: time.Until(e.file.due), kept: e.file.kept})
		default:
			most = q.draw(b, l, most)
		}
	}
	if len(b.entries) > 0 {
		q.begun(b)
	}
	return some
}

// peek returns the next ready lane that has anything in it.
func (q *queue) peek() *lane {
	for {
		l := q.ready.first
		if l == nil || l.head != nil {
			return l
		}
		q.requeue(q.ready.pop())
	}
}

// draw moves deliveries from the head of l into b, and returns how many b has at most now.
func (q *queue) draw(b *batch, l *lane, most int) int {
	l.state = laneLent
	b.lanes = append(b.lanes, l)
	for e := l.head; e != nil; e = l.head {
		within := e.within(most)
		if len(b.entries) >= within || e.early() || q.parking.of(e) != nil {
			break
		}
		most = within
		if l.head = e.next; l.head == nil {
			l.tail = nil
		}
		e.next = nil
		e.state, e.seen, e.reports, e.led = running, 0, 0, len(b.entries) > 0
		b.entries = append(b.entries, e)
	}
	return most
}

// begun takes note of a batch that is about to be handed over.
func (q *queue) begun(b *batch) {
	q.stats.Queued -= len(b.entries)
	q.stats.Running += len(b.entries)
	if q.gate.breaker != nil {
		q.gate.begin(b.entries[0])
	}
	if len(q.room) > 0 {
		q.grant(nil)
	}
	q.watchdog.arm()
	q.batching.have = 0
	q.reckon()
	if q.ready.first != nil {
		q.work.Signal() // another worker is to see what there is, and how long that may wait
	}
}

// comeBack puts e back to the head of its lane.
func (q *queue) comeBack(e *entry, v verdict) {
	q.stats.Running--
	q.stats.Queued++
	if q.gate.breaker != nil && !v.mute {
		q.observe(e, v)
	}
	switch v.ending {
	case again:
		q.stats.Retried++
	case spared:
		q.stats.Spared++
	}
	e.state, e.led = queued, false
	if f := e.file; f != nil {
		f.due, f.kept = time.Time{}, v.kept
		if v.wait > 0 {
			f.due = time.Now().Add(v.wait)
		}
	}
	l := e.lane
	if e.next, l.head = l.head, e; l.tail == nil {
		l.tail = e
	}
}

// restFor waits until there may be a batch to begin: so many deliveries wait for others, for as long as is left.
func (q *queue) restFor(have int, left time.Duration) {
	in, bt := &q.intake, q.batching
	in.mu.Lock()
	defer in.mu.Unlock()
	in.called = q.gate.shut || have > 0 || !q.keyed && q.single.head != nil
	if coming := len(in.list); coming > 0 && (!in.called || have > 0 && have+coming >= q.atMost()) {
		return // they came in just now
	}
	in.resting++
	if bt.have = have; have > 0 {
		bt.alarm(left, q.nudge)
	}
	in.room = q.roomWith(len(in.list))
	q.work.Wait()
	in.resting--
	in.called = false
}

// alarm sets the timer.
func (bt *batching) alarm(in time.Duration, f func()) {
	if bt.timer == nil {
		bt.timer = time.AfterFunc(in, f)
	} else {
		bt.timer.Reset(in)
	}
}

// quiet bounds how many deliveries may come in without waking a worker: the one that makes a batch full asks the queue.
func (q *queue) quiet(room, coming int) int {
	if q.batching.have == 0 {
		return room
	}
	return min(room, max(0, q.atMost()-1-q.batching.have-coming))
}
