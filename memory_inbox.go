package jitney

import (
	"container/list"
	"context"
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

	mu      sync.Mutex
	keys    map[inboxID]*mark
	done    list.List // of *mark, oldest success first
	evicted uint64
}

type inboxID struct{ subscriber, id string }

// mark is a key that runs or has succeeded.
type mark struct {
	id          inboxID
	fingerprint string
	ended       chan struct{} // closed when the run has ended, either way
	at          time.Time     // of success
	place       *list.Element // in done; nil while it runs
}

// Run implements Inbox.
func (in *MemoryInbox) Run(ctx context.Context, key InboxKey, handle func(context.Context) error) error {
	m, err := in.reserve(ctx, key)
	if err != nil {
		return err
	}
	ok := false
	defer func() { in.release(m, ok) }() // also after a panic and runtime.Goexit
	err = handle(ctx)
	ok = err == nil
	return err
}

// Len returns the number of marks.
func (in *MemoryInbox) Len() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.done.Len()
}

// Evicted returns how many marks have gone because of Limit.
func (in *MemoryInbox) Evicted() uint64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.evicted
}

// reserve waits until key is the caller's to run.
func (in *MemoryInbox) reserve(ctx context.Context, key InboxKey) (*mark, error) {
	for {
		m, mine, err := in.claim(key)
		if mine || err != nil {
			return m, err
		}
		select {
		case <-m.ended:
		case <-ctx.Done():
			return nil, fmt.Errorf("jitney: waiting for another delivery with the same key: %w", context.Cause(ctx))
		}
	}
}

// claim returns key's mark: a new one for the caller to run, or one that runs elsewhere.
func (in *MemoryInbox) claim(key InboxKey) (m *mark, mine bool, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.expire(time.Now())
	id := inboxID{key.Subscriber, key.ID}
	m = in.keys[id]
	switch {
	case m == nil:
		m = &mark{id: id, fingerprint: key.Fingerprint, ended: make(chan struct{})}
		if in.keys == nil {
			in.keys = make(map[inboxID]*mark)
		}
		in.keys[id] = m
		return m, true, nil
	case m.place == nil:
		return m, false, nil
	case m.fingerprint != key.Fingerprint && m.fingerprint != "" && key.Fingerprint != "":
		return nil, false, ErrKeyReuse
	}
	return nil, false, ErrDuplicate
}

func (in *MemoryInbox) release(m *mark, succeeded bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	defer close(m.ended)
	if !succeeded {
		delete(in.keys, m.id)
		return
	}
	m.at = time.Now()
	m.place = in.done.PushBack(m)
	limit := in.Limit
	if limit <= 0 {
		limit = 100_000
	}
	for in.done.Len() > limit {
		in.forget(in.done.Front())
		in.evicted++
	}
}

// expire forgets what is too old. Called with mu held.
func (in *MemoryInbox) expire(now time.Time) {
	age := in.MaxAge
	if age <= 0 {
		age = 24 * time.Hour
	}
	for e := in.done.Front(); e != nil && now.Sub(e.Value.(*mark).at) >= age; e = in.done.Front() {
		in.forget(e)
	}
}

func (in *MemoryInbox) forget(e *list.Element) {
	in.done.Remove(e)
	delete(in.keys, e.Value.(*mark).id)
}
