package jitney

import "sync"

// intake is where publishers leave deliveries for the workers of a queue. It has a lock of its own, so
// that the two meet once in a batch and not at every event: a worker that has run out of work takes all
// that has come in meanwhile.
//
// It can be short of what the queue knows, never wrong: room is how many deliveries may come in before
// somebody has to ask the queue itself, under both locks. It is 0 whenever there is more to decide or to do
// than whether there is room, as for the first delivery of all, which starts the workers.
type intake struct {
	_  [64]byte // publishers and workers write to different cache lines
	mu sync.Mutex

	list    []parcel
	room    int
	resting int  // workers that wait for work; changed with both locks held
	called  bool // no need to wake one: it has been done already, or there is nothing that it could do now

	_ [64]byte
}

// put takes p on if that needs no asking.
func (q *queue) put(p parcel) bool {
	in := &q.intake
	in.mu.Lock()
	if in.room == 0 || p.again() != nil {
		in.mu.Unlock()
		return false
	}
	in.room--
	in.list = append(in.list, p)
	wake := in.resting > 0 && !in.called
	in.called = in.called || wake
	in.mu.Unlock()
	if wake {
		q.work.Signal()
	}
	return true
}

// both is the two locks of a queue as one. A worker goes to rest with both held, so whoever holds either
// may wake it.
type both struct{ q *queue }

func (b both) Lock() {
	b.q.mu.Lock()
	b.q.intake.mu.Lock()
}

func (b both) Unlock() {
	b.q.intake.mu.Unlock()
	b.q.mu.Unlock()
}

// What follows is called with the queue's lock held.

// admit puts p behind all that has been accepted.
func (q *queue) admit(p parcel) {
	if q.shares != nil { // whose turn it is depends on all there is
		q.accept(p)
		return
	}
	in := &q.intake
	in.mu.Lock()
	defer in.mu.Unlock()
	in.list = append(in.list, p)
	if in.resting > 0 && !q.gate.shut {
		q.work.Signal()
	}
}

// reckon works out how many deliveries may come in without asking.
func (q *queue) reckon() {
	in := &q.intake
	in.mu.Lock()
	defer in.mu.Unlock()
	in.room = q.roomWith(len(in.list))
}

func (q *queue) roomWith(coming int) int {
	if q.staff != nil || q.outside != nil || len(q.room) > 0 || q.shares != nil {
		return 0
	}
	room := max(0, q.limit-q.stats.Queued-q.stats.Waiting+q.resting()-len(q.staged)-coming)
	if q.batching != nil {
		return q.quiet(room, coming)
	}
	return room
}

// pending is how many deliveries have been accepted and stand in no lane yet.
func (q *queue) pending() int {
	in := &q.intake
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(q.staged) + len(in.list)
}

// held is how many deliveries count against the bound.
func (q *queue) held() int { return q.stats.Queued + q.stats.Waiting - q.resting() + q.pending() }

// empty reports whether every delivery has ended, but for those that are parked.
func (q *queue) empty() bool { return q.oldest == nil && q.pending() == 0 }

// fetch puts deliveries that have come in into their lanes: the next one if there is but one lane, all if
// there are several. It returns the lane whose turn it is then, or nil.
func (q *queue) fetch() *lane {
	if !q.keyed && q.single.head != nil {
		return nil // the lane waits, and what has come in can wait behind it
	}
	if len(q.staged) == 0 && !q.collect() {
		return nil
	}
	if q.keyed {
		q.stage(len(q.staged))
		return q.pop()
	}
	return q.place(q.next())
}

// collect takes over what is in the intake, once all that was taken over before stands in lanes.
func (q *queue) collect() bool {
	in := &q.intake
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.list) == 0 {
		return false
	}
	q.stock, in.list = in.list, q.stock[:0]
	q.staged = q.stock
	in.room = q.roomWith(0)
	return true
}

// stage puts the first n of what was taken over into their lanes.
func (q *queue) stage(n int) {
	for range n {
		q.accept(q.next())
	}
}

// next takes the first of what was taken over.
func (q *queue) next() parcel {
	p := q.staged[0]
	q.staged = q.staged[1:]
	if used := len(q.stock) - len(q.staged); used%letGo == 0 || len(q.staged) == 0 {
		clear(q.stock[max(0, used-letGo):used])
	}
	if len(q.staged) == 0 && cap(q.stock) > maxStock {
		q.stock = nil // a burst has made it as large as this
	}
	return p
}

// gather puts all that has been accepted into lanes, for those who have to see all of it.
func (q *queue) gather() {
	q.stage(len(q.staged))
	if q.collect() {
		q.stage(len(q.staged))
	}
}

// letGo is how many events a queue keeps from the garbage collector after they have been handled, at most: to
// clear each place by itself would bring its cache line back and forth between publisher and worker.
const letGo = 64

// gatherEvery is how many deliveries a queue with lanes takes, at most, before it looks at what has come in,
// so that the events of one key do not wait for all those of another.
const gatherEvery = 16

// maxStock is how many places for deliveries a queue keeps for reuse, twice: 96 KiB at most.
const maxStock = 2048

// firstPending returns the oldest delivery that stands in no lane yet; there must be one.
func (q *queue) firstPending() parcel {
	if len(q.staged) > 0 {
		return q.staged[0]
	}
	in := &q.intake
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.list[0]
}

// rest waits until there may be work. While the gate is shut, or the only lane waits, publishers need not
// wake anybody: whoever changes that does.
func (q *queue) rest() {
	in := &q.intake
	in.mu.Lock()
	defer in.mu.Unlock()
	in.called = q.gate.shut || !q.keyed && q.single.head != nil
	if len(in.list) > 0 && !in.called {
		return // it came in just now
	}
	in.resting++
	q.work.Wait()
	in.resting--
	in.called = false
}
