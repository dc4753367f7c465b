package jitney

import (
	"sync"
	"sync/atomic"
)

// bell tells those that wait for a condition when it is worth looking again.
type bell struct {
	listeners atomic.Int32
	mu        sync.Mutex
	rung      chan struct{}
}

// ring costs one atomic load when nobody listens.
func (b *bell) ring() {
	if b.listeners.Load() == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rung != nil {
		close(b.rung)
		b.rung = nil
	}
}

// until waits until met returns true, or done ends, and then asks met once more.
func (b *bell) until(done <-chan struct{}, met func() bool) {
	b.listeners.Add(1)
	defer b.listeners.Add(-1)
	for {
		rung := b.next()
		if met() {
			return
		}
		select {
		case <-rung:
		case <-done:
			met()
			return
		}
	}
}

func (b *bell) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rung == nil {
		b.rung = make(chan struct{})
	}
	return b.rung
}
