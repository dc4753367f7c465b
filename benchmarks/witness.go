package benchmarks

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// witnessed is how many publishers there may be.
const witnessed = 64

// Witness counts what a consumer handles: each event once, each publisher's in their order.
type Witness struct {
	mu      sync.Mutex
	next    [witnessed]int64
	handled int64
	wrong   int64
	want    int64 // -1: not known yet
	done    chan struct{}
}

// NewWitness returns one that waits for so many events; for -1, until Await says how many.
func NewWitness(want int64) *Witness { return &Witness{want: want, done: make(chan struct{})} }

// Handle is the handler.
func (w *Witness) Handle(e Stored) {
	publisher, seq := e.Origin()
	w.mu.Lock()
	defer w.mu.Unlock()
	if seq != w.next[publisher] {
		w.wrong++
	}
	w.next[publisher] = seq + 1
	if w.handled++; w.handled == w.want {
		close(w.done)
	}
}

// Await waits until n events have been handled.
func (w *Witness) Await(n int64) error {
	w.mu.Lock()
	if w.want != n {
		if w.want = n; w.handled == n {
			close(w.done)
		}
	}
	w.mu.Unlock()
	var err error
	select {
	case <-w.done:
	case <-time.After(2 * time.Minute):
		err = errors.New("not all events have come within two minutes")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.handled != n || w.wrong > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %d events handled, %d out of order or again", w.handled, n, w.wrong))
	}
	return err
}
