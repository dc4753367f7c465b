package jitney

import (
	"cmp"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Parked is the deliveries of one key that wait behind a dead letter; see WithParking.
type Parked struct {
	Letter     uuid.UUID // Redeliver or Discard it, and they go on
	Key        string
	Deliveries int
	Since      time.Time // when the letter died
}

// Parked lists the keys that wait behind a dead letter, the longest waiting first. Keys behind which
// nothing has come yet are listed too.
func (s *Subscription) Parked() []Parked {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	var list []Parked
	for _, p := range s.queue.parking.parks() {
		list = append(list, Parked{p.letter, p.key.key, p.n, p.since})
	}
	return list
}

// parking is where deliveries wait behind a dead letter of their key, so that the order of the key is kept
// although other keys flow. A delivery is put there when its turn comes, and goes back to the head of its
// lane when the letter is done with. Parked deliveries are off the books: Flush and Shutdown do not wait
// for them. All is guarded by the queue's lock.
type parking struct {
	limit    int // 0: no parking
	byKey    map[parkKey]*park
	byLetter map[uuid.UUID]*park
	blocked  []*lane // they ought to park their first delivery, and there is no room
	full     uint64  // times that this has happened
}

// parkKey is what has an order of its own: a key, or a share's deliveries without a key.
type parkKey struct{ key, share string }

func parkKeyOf(e *entry) parkKey {
	if e.env.Key == "" && e.claim() != nil {
		return parkKey{share: e.claim().share}
	}
	return parkKey{key: e.env.Key}
}

// park is the deliveries behind one letter.
type park struct {
	letter      uuid.UUID
	key         parkKey
	since       time.Time
	first, last *entry
	n           int
}

func (p *parking) add(one *park) {
	if p.byKey == nil {
		p.byKey = make(map[parkKey]*park)
		p.byLetter = make(map[uuid.UUID]*park)
	}
	p.byKey[one.key] = one
	p.byLetter[one.letter] = one
}

// parks returns all parks in the order in which their letters died.
func (p *parking) parks() []*park {
	list := slices.Collect(maps.Values(p.byKey))
	slices.SortFunc(list, func(a, b *park) int {
		return cmp.Or(a.since.Compare(b.since), slices.Compare(a.letter[:], b.letter[:]))
	})
	return list
}

// of returns the park that e is in, or ought to be, or nil.
func (p *parking) of(e *entry) *park {
	if len(p.byKey) == 0 || e.again() != nil {
		return nil
	}
	return p.byKey[parkKeyOf(e)]
}

// What follows is called with the queue's lock held.

// divert keeps the first delivery of l, which has just been taken from the ready ones, from running if a
// dead letter of its key is before it. Redeliveries are let through: they are what the others wait for.
func (q *queue) divert(l *lane) bool {
	e := l.head
	p := q.parking.byKey[parkKeyOf(e)]
	if p == nil || e.again() != nil {
		return false
	}
	if q.stats.Parked >= q.parking.limit {
		l.state = laneBlocked
		q.parking.blocked = append(q.parking.blocked, l)
		if q.idle() {
			q.settled()
		}
		if q.parking.full++; powerOfTwo(q.parking.full) {
			q.tell(notice{parking: e.env})
		}
		return true
	}
	q.unlane(e)
	q.requeue(l)
	q.leave(e)
	q.stats.Queued--
	q.stats.Parked++
	share := e.share
	e.state, e.lane, e.share, e.older, e.newer = parked, nil, nil, nil, nil
	if p.last == nil {
		p.first = e
	} else {
		p.last.next = e
	}
	p.last = e
	p.n++
	q.grant(share)
	if q.roomier != nil {
		q.roomier()
	}
	return true
}

// stand makes later deliveries of e's key wait if e has just died, and lets them go on if e was what they
// waited for.
func (q *queue) stand(e *entry, v verdict) {
	switch {
	case v.ending == dead && e.again() == nil && q.parking.byKey[parkKeyOf(e)] == nil: // another of its batch may hold it back
		q.parking.add(&park{letter: e.file.letter.ID, key: parkKeyOf(e), since: e.file.letter.Time})
	case v.ending != dead && e.again() != nil:
		q.release(e.again().letter.ID)
	}
}

// release puts what is parked behind a letter back to the head of its lane. It reports whether the letter
// held its key back.
func (q *queue) release(letter uuid.UUID) bool {
	p := q.parking.byLetter[letter]
	if p == nil {
		return false
	}
	q.moves++
	delete(q.parking.byLetter, letter)
	delete(q.parking.byKey, p.key)
	q.stats.Parked -= p.n
	q.stats.Queued += p.n
	q.reckon()
	chain := make([]*entry, 0, p.n)
	for e := p.first; e != nil; e = e.next {
		chain = append(chain, e)
	}
	for _, e := range slices.Backward(chain) { // each goes before those that came after it
		e.next, e.state = nil, queued
		q.enterFirst(e)
		q.first(e)
	}
	for _, l := range q.parking.blocked { // there is room now
		q.requeue(l)
	}
	q.parking.blocked = nil
	return true
}

// overtake accepts a redelivery at the head of its lane, whatever the bound: what is parked waits for it.
func (q *queue) overtake(p parcel) {
	e := q.enter(p)
	q.stats.Queued++
	q.reckon()
	q.first(e)
}

// first puts e at the head of its lane, behind a delivery that is out.
func (q *queue) first(e *entry) {
	l := q.laneOf(e)
	e.lane = l
	l.insert(e, e)
	switch l.state {
	case laneIdle:
		q.push(l)
	case laneBlocked:
		q.unblock(l)
	}
}

func (q *queue) unblock(l *lane) {
	q.parking.blocked = slices.DeleteFunc(q.parking.blocked, func(other *lane) bool { return other == l })
	q.requeue(l)
}

// unpark is release for those who do not hold the lock.
func (q *queue) unpark(letter uuid.UUID) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.release(letter)
}

// parkingFull tells that env's lane stands still: the 1st, 2nd, 4th, 8th … time.
func (s *Subscription) parkingFull(env *Envelope) {
	s.bus.log(s.life, slog.LevelError, "jitney: parking full, a lane waits",
		slog.String("subscriber", s.name), slog.Any("event", env),
		slog.Int("parked", s.queue.parking.limit), slog.String("subscribed_at", s.at))
}
