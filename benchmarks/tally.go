package benchmarks

import "sync"

// Tally is what one subscriber has handled. Its size keeps two of them on different cache lines.
type Tally struct {
	mu        sync.Mutex // taken only where handlers of one subscriber may run at once
	Handled   int64
	Reordered int64
	Latency   func(seq int64) // called for each if set
	last      [16]int64       // the number of each publisher's newest, plus one
	want      int64
	done      *sync.WaitGroup
	hold      chan struct{} // the handler waits until it is closed
	_         [64]byte
}

// Handle is the handler, for systems that run one at a time.
func (t *Tally) Handle(o Order) {
	if t.hold != nil {
		<-t.hold
	}
	publisher, seq := o.Origin()
	if seq < t.last[publisher] {
		t.Reordered++
	}
	t.last[publisher] = seq + 1
	if t.Latency != nil {
		t.Latency(seq)
	}
	t.Handled++
	if t.Handled == t.want {
		t.done.Done()
	}
}

// HandleLocked is the handler, for systems that run several at once.
func (t *Tally) HandleLocked(o Order) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Handle(o)
}
