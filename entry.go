package jitney

import "time"

// entry is one delivery on its way through a queue. Only the worker that runs it touches file.
type entry struct {
	parcel
	file *file // what has gone wrong so far; nil while nothing has

	state   state
	reports uint8  // times the watchdog has named it
	led     bool   // it runs in a batch, behind the one that the watchdog looks at
	most    int32  // deliveries in a batch with it; 0: as many as there may be
	seen    int64  // when the watchdog first saw it run, Unix ns
	share   *share // nil unless WithFairShare
	lane    *lane
	next    *entry // behind it in its lane, or its park
	older   *entry
	newer   *entry
}

// parcel is what is asked of a queue.
type parcel struct {
	env   *Envelope
	scope *scope // for the first attempt; nil if there is none yet
	rare  *rare  // nil for a plain publication
}

// rare is what most parcels do not have.
type rare struct {
	at    time.Time   // when it was accepted, if not at the event's time
	again *redelivery // if it comes from the dead letters
	claim *claim      // if there is WithFairShare

	position int64         // in the journal, if it comes from there
	came     int64         // from there, Unix ns, if it is for a batch
	crashes  int           // deaths of a process in a row that it was in flight at
	progress *Progress     // made before the process died; nil once it has been taken up
	ran      chan struct{} // closed when it has run, if it was recalled meanwhile; guarded by the queue's lock
}

func (p *parcel) at() time.Time {
	if p.rare != nil && !p.rare.at.IsZero() {
		return p.rare.at
	}
	return p.env.Time
}

func (p *parcel) again() *redelivery {
	if p.rare == nil {
		return nil
	}
	return p.rare.again
}

func (p *parcel) claim() *claim {
	if p.rare == nil {
		return nil
	}
	return p.rare.claim
}

// position is p's place in the journal; 0 if it does not come from there.
func (p *parcel) position() int64 {
	if p.rare == nil {
		return 0
	}
	return p.rare.position
}

func (p *parcel) crashes() int {
	if p.rare == nil {
		return 0
	}
	return p.rare.crashes
}

func (p *parcel) progress() *Progress {
	if p.rare == nil {
		return nil
	}
	return p.rare.progress
}

// claiming returns p with a claim.
func (p parcel) claiming(c *claim) parcel {
	p.rare = &rare{at: p.at(), again: p.again(), claim: c, position: p.position(), crashes: p.crashes(), progress: p.progress()}
	return p
}

type state uint8

const (
	queued state = iota
	running
	waiting
	parked
)

// maxFree is how many entries a queue keeps for reuse: 96 KiB of them.
const maxFree = 1024

// What follows is called with the queue's lock held.

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
	if q.shares != nil {
		e.share = q.shares.enter(p.claim())
	}
	e.older = q.newest
	if q.newest == nil {
		q.oldest = e
	} else {
		q.newest.newer = e
	}
	q.newest = e
	return e
}

// enterFirst puts e back on the books, as the oldest.
func (q *queue) enterFirst(e *entry) {
	if q.shares != nil {
		e.share = q.shares.enter(e.claim())
	}
	e.newer = q.oldest
	if q.oldest == nil {
		q.newest = e
	} else {
		q.oldest.older = e
	}
	q.oldest = e
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
	if e.share != nil {
		q.shares.leave(e.share)
	}
	if q.oldest == nil && len(q.staged) == 0 || q.halted {
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
