package jitney

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"
)

// MemoryInbox is an [Inbox] in memory: it forgets everything when the process ends, as the memory
// queues do. The zero value is ready to use; the fields must not be changed after first use.
type MemoryInbox struct {
	// Limit is how many marks are kept. At the limit the oldest mark goes, never a key that runs, and
	// its event would be handled again. Default 100,000.
	Limit int
	// MaxAge is how long a mark is kept. Default 24 h.
	MaxAge time.Duration

	mu          sync.Mutex
	epoch       time.Time                 // what times count from
	subscribers map[string]uint32         // their numbers
	running     map[inboxID]chan struct{} // closed when the run has ended, either way; nil if nobody waits for that
	done        map[inboxID]time.Duration // when
	order       []success                 // of done, oldest first, from head on
	head        int
	prints      map[inboxID]string // fingerprints of those in done that have one
	evicted     uint64
}

// inboxID is a key in little space, and without pointers that the garbage collector would have to follow.
type inboxID struct {
	subscriber uint32
	business   bool
	event      [16]byte // the event's ID, or the beginning of the business key's SHA-256
}

type success struct {
	id inboxID
	at time.Duration
}

// Run implements Inbox.
func (in *MemoryInbox) Run(ctx context.Context, key InboxKey, handle func(context.Context) error) error {
	id := inboxID{event: key.Event}
	if key.Business != "" {
		sum := sha256.Sum256([]byte(key.Business))
		id.business, id.event = true, [16]byte(sum[:16])
	}
	if err := in.reserve(ctx, key.Subscriber, &id, key.Fingerprint); err != nil {
		return err
	}
	ok := false
	defer func() { in.release(id, key.Fingerprint, ok) }() // also after a panic and runtime.Goexit
	err := handle(ctx)
	ok = err == nil
	return err
}

// Len returns the number of marks.
func (in *MemoryInbox) Len() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.done)
}

// Evicted returns how many marks have gone because of Limit.
func (in *MemoryInbox) Evicted() uint64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.evicted
}

// number returns the subscriber's number. Called with mu held.
func (in *MemoryInbox) number(subscriber string) uint32 {
	if in.subscribers == nil {
		in.epoch = time.Now()
		in.subscribers = make(map[string]uint32)
		in.running = make(map[inboxID]chan struct{})
		in.done = make(map[inboxID]time.Duration)
		in.prints = make(map[inboxID]string)
	}
	n, known := in.subscribers[subscriber]
	if !known {
		n = uint32(len(in.subscribers))
		in.subscribers[subscriber] = n
	}
	return n
}

// reserve completes id, and waits until it is the caller's to run.
func (in *MemoryInbox) reserve(ctx context.Context, subscriber string, id *inboxID, fingerprint string) error {
	for {
		elsewhere, err := in.claim(subscriber, id, fingerprint)
		if elsewhere == nil {
			return err
		}
		select {
		case <-elsewhere:
		case <-ctx.Done():
			return fmt.Errorf("jitney: waiting for another delivery with the same key: %w", context.Cause(ctx))
		}
	}
}

// claim makes id the caller's to run, says why it may not be run, or returns what to wait for.
func (in *MemoryInbox) claim(subscriber string, key *inboxID, fingerprint string) (elsewhere <-chan struct{}, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	key.subscriber = in.number(subscriber)
	id := *key
	if ended, runs := in.running[id]; runs {
		if ended == nil {
			ended = make(chan struct{})
			in.running[id] = ended
		}
		return ended, nil
	}
	if at, marked := in.done[id]; marked && !in.expired(at) {
		if print := in.prints[id]; print != fingerprint && print != "" && fingerprint != "" {
			return nil, ErrKeyReuse
		}
		return nil, ErrDuplicate
	}
	in.running[id] = nil
	return nil, nil
}

func (in *MemoryInbox) release(id inboxID, fingerprint string, succeeded bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if ended := in.running[id]; ended != nil {
		defer close(ended)
	}
	delete(in.running, id)
	if !succeeded {
		return
	}
	now := time.Since(in.epoch)
	in.done[id] = now
	in.order = append(in.order, success{id, now})
	if fingerprint != "" {
		in.prints[id] = fingerprint
	}
	in.expire(now)
	limit := in.Limit
	if limit <= 0 {
		limit = 100_000
	}
	for len(in.done) > limit {
		in.forgetOldest()
		in.evicted++
	}
}

// What follows is called with mu held.

// expired reports whether a mark made at at is too old, and forgets it then, and all that are older.
func (in *MemoryInbox) expired(at time.Duration) bool {
	now := time.Since(in.epoch)
	in.expire(now)
	return now-at >= in.maxAge()
}

func (in *MemoryInbox) maxAge() time.Duration {
	if in.MaxAge <= 0 {
		return 24 * time.Hour
	}
	return in.MaxAge
}

// expire forgets what is too old.
func (in *MemoryInbox) expire(now time.Duration) {
	for in.head < len(in.order) && now-in.order[in.head].at >= in.maxAge() {
		in.forgetOldest()
	}
}

func (in *MemoryInbox) forgetOldest() {
	id := in.order[in.head].id
	delete(in.done, id)
	if id.business {
		delete(in.prints, id)
	}
	in.head++
	if in.head*2 >= len(in.order) { // half of it is no longer needed
		in.order = in.order[:copy(in.order, in.order[in.head:])]
		in.head = 0
	}
}
