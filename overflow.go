package jitney

import "fmt"

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

// offer takes p on, refuses it, or, when its publisher has to wait for room, returns where. dropped is
// the delivery that had to go for it.
func (q *queue) offer(p parcel, inside bool) (w *waiter, dropped *entry, err error) {
	if q.put(p) {
		return nil, nil, nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	held := q.held()
	switch {
	case inside && q.inside != nil:
		err = q.inside
	case !inside && q.outside != nil:
		err = q.outside
	case p.again() != nil && q.parking.limit > 0:
		q.overtake(p)
	case held < q.limit && (len(q.room) == 0 || inside), q.owes(p, held):
		q.admit(p)
	case q.overflow == Reject:
		err = fmt.Errorf("%w: it holds %d", ErrQueueFull, held)
	case q.overflow == DropOldest:
		dropped = q.dropOldest(p)
		q.admit(p)
	case !inside:
		w = q.enlist(p)
	case held < q.limit+q.reserve:
		q.admit(p)
	default:
		err = fmt.Errorf("%w: they hold %d", ErrReserveFull, held)
	}
	if err != nil {
		q.stats.Refused++
	} else if q.staff != nil {
		q.staff()
		q.staff = nil
	}
	q.reckon()
	return w, dropped, err
}

// dropOldest gives up the oldest delivery that does not run, of p's share if there are shares and it has
// one, and returns it.
func (q *queue) dropOldest(p parcel) *entry {
	q.gather()
	e := q.oldest
	for e.state == running {
		e = e.newer
	}
	if q.shares != nil {
		e = q.shares.oldest(e, p.claim())
	}
	l := e.lane
	q.unlane(e)
	switch {
	case e.state == waiting: // its lane has waited for it
		q.stats.Waiting--
		l.timer.Stop()
		q.requeue(l)
	case l.state == laneBlocked:
		q.stats.Queued--
		q.unblock(l)
	default:
		q.stats.Queued--
	}
	q.stats.Dropped++
	q.leave(e)
	return e
}
