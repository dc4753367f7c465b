package jitney

import (
	"fmt"
	"math"
)

// FairShare divides a subscription's handling among shares, such as tenants: while two of them have events
// waiting, each gets as much handled as the other, so that a hundred events of one are delayed by no more
// than a hundred of another that has a million. The zero value shares by key. See WithFairShare.
type FairShare struct {
	// By names the share that an event belongs to: its tenant, say. Default: its key. By and Cost are
	// called in Publish, and must be safe for use by several goroutines; where one panics, Publish
	// returns an error that names the subscription. For a durable subscription they are called when an event is
	// fetched from the journal, and WithSticky in Subscribe for what is kept: an event for which one panics there is
	// delivered, at a cost of 1, without a share of its own.
	By func(*Envelope) string
	// Cost says how much of its share an event takes, at least 1: the lines of an import, say. Default 1.
	Cost func(*Envelope) int
}

// claim is what a delivery asks of its share.
type claim struct {
	share string
	cost  int
}

// noClaim is that of a delivery whose share is not known.
var noClaim = claim{cost: 1}

// claim asks the application what a delivery costs, and whom.
func (f *FairShare) claim(env *Envelope) (c *claim, err error) {
	err = contain(func() error {
		c = &claim{share: env.Key, cost: 1}
		if f.By != nil {
			c.share = f.By(env)
		}
		if f.Cost != nil {
			c.cost = max(f.Cost(env), 1)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("its share is not known: %w", err)
	}
	return c, nil
}

// shares takes ready lanes share by share: deficit round robin, by M. Shreedhar and G. Varghese, 1995.
// Each share in turn gets a credit of 1 and has deliveries taken as long as their cost is within what it
// has saved up. No turn is left unused while any share has something to do. All is guarded by the queue's
// lock.
type shares struct {
	byName map[string]*share // those with deliveries on the books
	first  *share            // whose turn it is; those with ready lanes are in the ring
	last   *share
}

type share struct {
	name    string
	n       int // deliveries on the books
	ready   laneList
	keyless lane // of deliveries without a key

	credit int
	turn   bool // it has got its credit for this turn
	inRing bool
	next   *share // after it in the ring
}

// enter counts a delivery in.
func (ss *shares) enter(c *claim) *share {
	s := ss.byName[c.share]
	if s == nil {
		s = &share{name: c.share, keyless: lane{keyless: true}}
		ss.byName[c.share] = s
	}
	s.n++
	return s
}

// leave counts a delivery out, and forgets a share that has no others.
func (ss *shares) leave(s *share) {
	if s.n--; s.n == 0 && ss.byName[s.name] == s {
		delete(ss.byName, s.name)
	}
}

// push makes l ready for the share of its first delivery. A share that was waiting for its lanes to come
// back from the workers goes on with its turn.
func (ss *shares) push(l *lane) {
	s := l.head.share
	s.ready.push(l)
	switch {
	case s.inRing:
	case s.turn && s.credit >= l.head.claim().cost:
		ss.insert(s)
	default:
		s.turn = false
		ss.append(s)
	}
}

// pop takes the next lane.
func (ss *shares) pop() *lane {
	var stop *share // the first share that has had to pass
	for s := ss.first; s != nil; s = ss.first {
		if !s.turn {
			s.turn = true
			s.credit++
		}
		cost := s.ready.first.cost()
		if cost <= s.credit {
			s.credit -= cost
			l := s.ready.pop()
			if s.ready.first == nil {
				ss.remove()
			}
			return l
		}
		if s == stop {
			ss.advance()
			stop = nil
		} else if stop == nil {
			stop = s
		}
		ss.remove()
		s.turn = false
		ss.append(s)
	}
	return nil
}

// advance gives each share the credits of as many turns as go by before the first can have a delivery
// taken, less the one that it will get.
func (ss *shares) advance() {
	turns := math.MaxInt
	for s := ss.first; s != nil; s = s.next {
		turns = min(turns, s.ready.first.cost()-s.credit)
	}
	for s := ss.first; s != nil && turns > 1; s = s.next {
		s.credit += turns - 1
	}
}

// cost is what the lane's first delivery takes of its share; 0 of a lane that has been emptied.
func (l *lane) cost() int {
	if l.head == nil {
		return 0
	}
	return l.head.claim().cost
}

func (ss *shares) insert(s *share) {
	s.inRing, s.next = true, ss.first
	ss.first = s
	if ss.last == nil {
		ss.last = s
	}
}

func (ss *shares) append(s *share) {
	s.inRing, s.next = true, nil
	if ss.last == nil {
		ss.first = s
	} else {
		ss.last.next = s
	}
	ss.last = s
}

// remove takes the first share out of the ring.
func (ss *shares) remove() {
	s := ss.first
	ss.first, s.next, s.inRing = s.next, nil, false
	if ss.first == nil {
		ss.last = nil
	}
}

// owes reports whether a full queue must let p in all the same, because other shares have filled it: p's
// share has less than an equal part of the bound. In all a queue holds at most twice its bound.
func (q *queue) owes(p parcel, held int) bool {
	if q.shares == nil || held >= 2*q.limit {
		return false
	}
	s := q.shares.byName[p.claim().share]
	if s == nil {
		return q.limit/(len(q.shares.byName)+1) > 0
	}
	return s.n < q.limit/len(q.shares.byName)
}

// oldest returns the oldest delivery from e on that does not run and is of c's share; e if there is none.
func (ss *shares) oldest(e *entry, c *claim) *entry {
	for other := e; other != nil; other = other.newer {
		if other.state != running && other.share.name == c.share {
			return other
		}
	}
	return e
}
