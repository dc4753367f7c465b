package jitneytest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jitney-go/jitney"
)

// Recorder has the events of type T that one subscriber has handled. Its methods may be called by several
// goroutines at once; those that may fail the test only by the test's own.
type Recorder[T jitney.Event] struct {
	t    testing.TB
	bus  *jitney.Bus
	hub  *hub
	name string
}

var recorders atomic.Uint64

// Record subscribes to the events of type T, which may be an interface, and records those published from
// now on. The bus must come from [New].
func Record[T jitney.Event](t testing.TB, b *jitney.Bus) *Recorder[T] {
	t.Helper()
	r := Handled[T](t, b, fmt.Sprintf("jitneytest.recorder-%d", recorders.Add(1)))
	jitney.Subscribe(b, r.name, func(context.Context, T) error { return nil })
	return r
}

// Handled returns what the named subscriber has handled with success, since its bus was made. Events that
// are no T are left out. The bus must come from [New].
func Handled[T jitney.Event](t testing.TB, b *jitney.Bus, subscriber string) *Recorder[T] {
	t.Helper()
	return &Recorder[T]{t: t, bus: b, hub: hubOf(t, b), name: subscriber}
}

// Events returns what has been recorded so far.
func (r *Recorder[T]) Events() []T {
	events, _, _ := r.look()
	return events
}

// Deliveries returns the deliveries, with their envelopes, of what Events returns.
func (r *Recorder[T]) Deliveries() []*jitney.Delivery {
	_, deliveries, _ := r.look()
	return deliveries
}

// Wait waits until at least n events have been recorded, and returns all there are. It fails the test
// after 10 s.
func (r *Recorder[T]) Wait(n int) []T {
	r.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		events, _, changed := r.look()
		if len(events) >= n {
			return events
		}
		select {
		case <-changed:
		case <-timeout.C:
			r.t.Fatalf("%s has handled %d events within %v, expected %d", r.name, len(events), patience, n)
		}
	}
}

// Flush waits until everything published is settled, and returns what has been recorded: unless somebody
// publishes again, no more will come.
func (r *Recorder[T]) Flush() []T {
	r.t.Helper()
	flush(r.t, r.bus)
	return r.Events()
}

func (r *Recorder[T]) look() (events []T, deliveries []*jitney.Delivery, changed <-chan struct{}) {
	r.hub.mu.Lock()
	defer r.hub.mu.Unlock()
	for _, d := range r.hub.handled[r.name] {
		if e, ok := d.Event.(T); ok {
			events = append(events, e)
			deliveries = append(deliveries, d)
		}
	}
	return events, deliveries, r.hub.changed
}
