// Package jitneytest helps to test modules that talk through a jitney bus, and holds what every
// implementation of one of jitney's interfaces must pass.
//
// [Rehearse] makes a journal that behaves as an engine does that a program is to move to: a [Profile] says how far events
// may come late, twice, again, or in another order, and which answers Publish may have. A failed test logs the seed that
// repeats it, and what was done to which event.
//
// Everything here also works in a testing/synctest bubble, given the bubble's own *testing.T.
package jitneytest

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
)

// patience is how long a helper waits before it fails the test.
const patience = 10 * time.Second

// New returns a bus that logs to t.Log and keeps dead letters in memory. opts come after these defaults
// and may replace them. New does not include [Immutable], which costs a walk through the event for each
// delivery.
//
// When t ends, the bus is shut down, within 10 s. The test fails if a delivery was not handled by then,
// if an account does not balance, and if there is a dead letter that no [ExpectDeadLetters] has expected.
func New(t testing.TB, opts ...jitney.Option) *jitney.Bus {
	t.Helper()
	h := &hub{handled: make(map[string][]*jitney.Delivery), seen: make(map[death]bool), changed: make(chan struct{})}
	log := &testLog{t: t}
	all := append([]jitney.Option{
		jitney.WithLogger(slog.New(&logHandler{log: log, hub: h, inner: slog.NewTextHandler(log, nil)})),
		jitney.WithDeadLetters(&letterStore{hub: h}),
		jitney.WithMiddleware(h.middleware),
	}, opts...)
	b := jitney.New(all...)
	hubs.Store(b, h)
	t.Cleanup(func() {
		h.end(t, b)
		hubs.Delete(b)
		log.close()
	})
	return b
}

// ExpectDeadLetters waits until everything published is settled, and returns the dead letters that came
// since the last call, in the order of their deaths. It fails the test unless there are exactly n. A
// letter that died again after a redelivery counts again.
//
// Subscriptions with a store of their own count too. Their letters are known from the bus's log; only on
// a bus with a logger of its own as well they are counted without being returned.
func ExpectDeadLetters(t testing.TB, b *jitney.Bus, n int) []jitney.DeadLetter {
	t.Helper()
	h := hubOf(t, b)
	flush(t, b)
	died := b.Stats().Dead
	h.mu.Lock()
	defer h.mu.Unlock()
	letters := h.letters
	if got := died - h.expected; got != uint64(n) {
		t.Fatalf("%d dead letters, expected %d%s", got, n, describe(letters))
	}
	h.letters, h.expected = nil, died
	return letters
}

// hubs has the hub of each bus made by New, as long as its test runs.
var hubs sync.Map // *jitney.Bus → *hub

// hub is what New knows of its bus.
type hub struct {
	mu       sync.Mutex
	handled  map[string][]*jitney.Delivery // by subscriber
	changed  chan struct{}                 // closed and replaced when handled grows
	letters  []jitney.DeadLetter           // not expected so far
	seen     map[death]bool
	expected uint64
}

// death tells one death of a letter from the next one.
type death struct {
	id           uuid.UUID
	redeliveries int
}

func hubOf(t testing.TB, b *jitney.Bus) *hub {
	t.Helper()
	h, ok := hubs.Load(b)
	if !ok {
		t.Fatal("this bus was not made by jitneytest.New, or its test has ended")
	}
	return h.(*hub)
}

// middleware is the outermost one. It notes what subscribers have handled.
func (h *hub) middleware(next jitney.Handler) jitney.Handler {
	return func(ctx context.Context, e jitney.Event) error {
		err := next(ctx, e)
		for i, d := range jitney.Deliveries(ctx) {
			if handled(err, i) {
				h.note(d)
			}
		}
		return err
	}
}

// handled reports whether an attempt that returned err has handled the i-th event of its batch, or its only one.
func handled(err error, i int) bool {
	some, partly := errors.AsType[*jitney.BatchError](err)
	return err == nil || partly && i < len(some.Errs) && some.Errs[i] == nil
}

func (h *hub) note(d *jitney.Delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.handled[d.Subscriber] = append(h.handled[d.Subscriber], d)
	close(h.changed)
	h.changed = make(chan struct{})
}

// died takes note of a letter, which may be told of by the log, by the store, or by both.
func (h *hub) died(l jitney.DeadLetter) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := death{l.ID, l.Redeliveries}
	if !h.seen[d] {
		h.seen[d] = true
		h.letters = append(h.letters, l)
	}
}

// end shuts b down and looks at what is left.
func (h *hub) end(t testing.TB, b *jitney.Bus) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.Shutdown(ctx); err != nil {
		t.Errorf("shutdown at the end of the test: %v", err)
	}
	for _, s := range b.Subscriptions() {
		if n := s.Stats().Unaccounted(); n != 0 {
			t.Errorf("the account of %s does not balance: %d deliveries unaccounted for", s.Name(), n)
		}
	}
	st := b.Stats()
	if n := st.Unaccounted(); n != 0 {
		t.Errorf("the bus's account does not balance: %d deliveries unaccounted for", n)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := st.Dead - h.expected; n != 0 {
		t.Errorf("%d dead letters that nobody expected%s", n, describe(h.letters))
	}
}

func flush(t testing.TB, b *jitney.Bus) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.Flush(ctx); err != nil {
		t.Fatalf("not everything published was settled within %v: %v", patience, err)
	}
}

func describe(letters []jitney.DeadLetter) string {
	text := ""
	for _, l := range letters {
		text += "\n\t" + l.Envelope.String() + " to " + l.Subscriber + ": " + l.LastError()
	}
	return text
}

// letterStore is the default store of New.
type letterStore struct {
	jitney.MemoryDeadLetters
	hub *hub
}

// Add implements jitney.DeadLetterStore.
func (s *letterStore) Add(ctx context.Context, l jitney.DeadLetter) error {
	err := s.MemoryDeadLetters.Add(ctx, l)
	if err == nil {
		s.hub.died(l)
	}
	return err
}
