package jitney

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"time"
)

// MemoryInbox is an [Inbox] in memory: it forgets everything when the process ends, as the memory
// queues do. The zero value is ready to use; the fields must not be changed after first use.
type MemoryInbox struct {
	// Limit is how many marks are kept for each subscriber. At the limit the oldest mark goes, never a key
	// that runs, and its event would be handled again. Default 100,000, of 32 bytes each.
	Limit int
	// MaxAge is how long a mark holds. Default 24 h. What is too old is forgotten when its subscriber
	// handles the next event.
	MaxAge time.Duration

	mu      sync.Mutex
	epoch   time.Time // what times count from
	ledgers map[string]*ledger
	evicted uint64
}

// Run implements Inbox.
func (in *MemoryInbox) Run(ctx context.Context, key InboxKey, handle func(context.Context) error) error {
	id := inboxID{event: key.Event}
	if key.Business != "" {
		sum := sha256.Sum256([]byte(key.Business))
		id = inboxID{business: true, event: [16]byte(sum[:16])}
	}
	l, err := in.reserve(ctx, key.Subscriber, id, key.Fingerprint)
	if err != nil {
		return err
	}
	ok := false
	defer func() { in.release(l, id, key.Fingerprint, ok) }() // also after a panic and runtime.Goexit
	err = handle(ctx)
	ok = err == nil
	return err
}

// Len returns the number of marks, of all subscribers.
func (in *MemoryInbox) Len() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	n := 0
	for _, l := range in.ledgers {
		n += l.marks()
	}
	return n
}

// Evicted returns how many marks have gone because of Limit.
func (in *MemoryInbox) Evicted() uint64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.evicted
}

// reserve waits until id is the caller's to run.
func (in *MemoryInbox) reserve(ctx context.Context, subscriber string, id inboxID, fingerprint string) (*ledger, error) {
	for {
		l, elsewhere, err := in.claim(subscriber, id, fingerprint)
		if elsewhere == nil {
			return l, err
		}
		select {
		case <-elsewhere:
		case <-ctx.Done():
			return nil, fmt.Errorf("jitney: waiting for another delivery with the same key: %w", context.Cause(ctx))
		}
	}
}

// claim makes id the caller's to run, says why it may not be run, or returns what to wait for.
func (in *MemoryInbox) claim(subscriber string, id inboxID, fingerprint string) (l *ledger, elsewhere <-chan struct{}, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	l = in.ledger(subscriber)
	if i := l.runs(id); i >= 0 {
		r := &l.running[i]
		if r.ended == nil {
			r.ended = make(chan struct{})
		}
		return nil, r.ended, nil
	}
	at, marked := l.find(id)
	if marked && in.expired(l, at) {
		l.forget(id)
		marked = false
	}
	if marked {
		if other := l.prints[id]; other != fingerprint && other != "" && fingerprint != "" {
			return nil, nil, ErrKeyReuse
		}
		return nil, nil, ErrDuplicate
	}
	l.running = append(l.running, run{id: id})
	return l, nil, nil
}

func (in *MemoryInbox) release(l *ledger, id inboxID, fingerprint string, succeeded bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	i := l.runs(id)
	if ended := l.running[i].ended; ended != nil {
		defer close(ended)
	}
	l.running = slices.Delete(l.running, i, i+1)
	if !succeeded {
		return
	}
	now := time.Since(in.epoch)
	l.mark(success{id, now}, fingerprint)
	in.expire(l, now)
	limit := in.Limit
	if limit <= 0 {
		limit = 100_000
	}
	for l.marks() > limit {
		l.forgetOldest()
		in.evicted++
	}
}

// What follows is called with mu held.

func (in *MemoryInbox) ledger(subscriber string) *ledger {
	l := in.ledgers[subscriber]
	if l == nil {
		if in.ledgers == nil {
			in.ledgers, in.epoch = make(map[string]*ledger), time.Now()
		}
		l = &ledger{odd: make(map[inboxID]time.Duration), prints: make(map[inboxID]string)}
		in.ledgers[subscriber] = l
	}
	return l
}

// expired reports whether a mark made at at is too old, and forgets it then, and all that are older.
func (in *MemoryInbox) expired(l *ledger, at time.Duration) bool {
	now := time.Since(in.epoch)
	in.expire(l, now)
	return now-at >= in.maxAge()
}

func (in *MemoryInbox) maxAge() time.Duration {
	if in.MaxAge <= 0 {
		return 24 * time.Hour
	}
	return in.MaxAge
}

// expire forgets what is too old.
func (in *MemoryInbox) expire(l *ledger, now time.Duration) {
	for l.marks() > 0 && now-l.oldest().first().at >= in.maxAge() {
		l.forgetOldest()
	}
}

// ledger is one subscriber's part of a MemoryInbox.
//
// IDs rise, and events are handled about in the order of their IDs. So most marks stand in a row, sorted by
// ID; the ID of a new event is behind the last of them, which says without a search that it is new. To look up
// a hundred thousand marks in a hash table costs two misses of the processor's caches per event. What does not
// fit the row is in a table all the same: business keys, and events that are handled much later than others.
type ledger struct {
	running []run
	row     successes // sorted by ID, and up to how far off maxShift allows by time
	odd     map[inboxID]time.Duration
	oddRow  successes          // of odd, sorted by time
	prints  map[inboxID]string // fingerprints, of business keys that have one
}

// inboxID is a key in little space, and without pointers that the garbage collector would have to follow.
type inboxID struct {
	business bool
	event    [16]byte // the event's ID, or the beginning of the business key's SHA-256
}

type run struct {
	id    inboxID
	ended chan struct{} // closed when the run has ended, either way; nil if nobody waits for that
}

type success struct {
	id inboxID
	at time.Duration // since the inbox's epoch
}

// maxShift is how many places from the end of the row a mark may be put.
const maxShift = 64

func (l *ledger) marks() int { return l.row.len() + l.oddRow.len() }

// runs returns where id stands among the running, or -1.
func (l *ledger) runs(id inboxID) int {
	return slices.IndexFunc(l.running, func(r run) bool { return r.id == id })
}

func (l *ledger) find(id inboxID) (at time.Duration, marked bool) {
	row := l.row.all()
	if !id.business && (len(row) == 0 || row[len(row)-1].compare(id) < 0) {
		return 0, false // it is newer than all
	}
	if i, found := slices.BinarySearchFunc(row, id, success.compare); found && !id.business {
		return row[i].at, true
	}
	at, marked = l.odd[id]
	return at, marked
}

func (l *ledger) mark(s success, fingerprint string) {
	if !s.id.business && l.row.insert(s) {
		return
	}
	l.odd[s.id] = s.at
	l.oddRow.list = append(l.oddRow.list, s)
	if fingerprint != "" {
		l.prints[s.id] = fingerprint
	}
}

// forget removes a mark that is too old, if it is still there: within maxShift the row is not sorted by time.
func (l *ledger) forget(id inboxID) {
	if i, found := slices.BinarySearchFunc(l.row.all(), id, success.compare); found && !id.business {
		l.row.list = slices.Delete(l.row.list, l.row.head+i, l.row.head+i+1)
	}
}

// oldest returns the one with the oldest mark; there must be a mark.
func (l *ledger) oldest() *successes {
	if l.row.len() == 0 || l.oddRow.len() > 0 && l.oddRow.first().at < l.row.first().at {
		return &l.oddRow
	}
	return &l.row
}

func (l *ledger) forgetOldest() {
	ss := l.oldest()
	if ss == &l.oddRow {
		id := ss.first().id
		delete(l.odd, id)
		delete(l.prints, id)
	}
	ss.drop()
}

// compare compares s with an event's id, as the row is sorted.
func (s success) compare(id inboxID) int { return bytes.Compare(s.id.event[:], id.event[:]) }

// successes is a queue of marks, from head on.
type successes struct {
	list []success
	head int
}

func (ss *successes) all() []success  { return ss.list[ss.head:] }
func (ss *successes) len() int        { return len(ss.list) - ss.head }
func (ss *successes) first() *success { return &ss.list[ss.head] }

// insert puts s where its ID belongs, if that is near the end.
func (ss *successes) insert(s success) bool {
	at := len(ss.list)
	for ; at > ss.head && ss.list[at-1].compare(s.id) >= 0; at-- {
		if len(ss.list)-at == maxShift {
			return false
		}
	}
	ss.list = slices.Insert(ss.list, at, s)
	return true
}

func (ss *successes) drop() {
	ss.head++
	if ss.head*2 >= len(ss.list) { // half of it is no longer needed
		ss.list = ss.list[:copy(ss.list, ss.list[ss.head:])]
		ss.head = 0
	}
}
