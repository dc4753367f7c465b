package bridge_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/bridge"
	"github.com/jitney-go/jitney/jitneytest"
	"github.com/jitney-go/jitney/wire"
)

// placed and paid are the tests' events, of one family.
type placed struct {
	Order string
	N     int
}

func (placed) EventType() string  { return "orders.placed" }
func (p placed) EventKey() string { return p.Order }

type paid struct{ N int }

func (paid) EventType() string { return "orders.paid" }

type order interface {
	jitney.Event
	isOrder()
}

func (placed) isOrder() {}
func (paid) isOrder()   {}

var (
	silent   = jitney.WithLogger(slog.New(slog.DiscardHandler))
	errBoom  = errors.New("boom")
	fromZero = jitney.WithStart(jitney.FromBeginning())
)

func types() *wire.Types {
	ts := wire.NewTypes()
	wire.Register[placed](ts)
	wire.Register[paid](ts)
	return ts
}

// faulty is an engine whose Append fails at will.
type faulty struct {
	*jitneytest.MemoryJournal
	down   atomic.Bool  // it stores nothing
	mute   atomic.Bool  // it stores, and does not say so
	fail   atomic.Value // func(*jitney.Envelope) error
	stores atomic.Int64
}

func newFaulty() *faulty { return &faulty{MemoryJournal: jitneytest.NewMemoryJournal(types())} }

// Append implements jitney.Journal.
func (f *faulty) Append(ctx context.Context, envs ...*jitney.Envelope) error {
	if f.down.Load() {
		return errBoom
	}
	if fail, ok := f.fail.Load().(func(*jitney.Envelope) error); ok {
		if err := fail(envs[0]); err != nil {
			return err
		}
	}
	if err := f.MemoryJournal.Append(ctx, envs...); err != nil {
		return err
	}
	f.stores.Add(1)
	if f.mute.Load() {
		return jitney.ErrIndeterminate
	}
	return nil
}

// heard collects envelopes.
type heard struct {
	mu   sync.Mutex
	envs []*jitney.Envelope
}

func (h *heard) note(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.envs = append(h.envs, jitney.FromContext(ctx).Envelope)
	return nil
}

func (h *heard) all() []*jitney.Envelope {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]*jitney.Envelope(nil), h.envs...)
}

// numbers are those of the events heard.
func (h *heard) numbers() (ns []int) {
	for _, env := range h.all() {
		switch e := env.Event.(type) {
		case placed:
			ns = append(ns, e.N)
		case paid:
			ns = append(ns, e.N)
		}
	}
	return ns
}

// listen subscribes h to all events of b.
func listen(b *jitney.Bus) *heard {
	h := &heard{}
	jitney.Subscribe(b, "listener", func(ctx context.Context, _ jitney.Event) error { return h.note(ctx) })
	return h
}

// stored are the envelopes that a journal has.
func stored(t *testing.T, j jitney.Journal) (list []*jitney.Envelope) {
	t.Helper()
	c, err := j.Open(t.Context(), jitney.Durable{Name: uuid.NewString(), From: jitney.FromBeginning()})
	require.NoError(t, err)
	end, err := j.End(t.Context())
	require.NoError(t, err)
	for through := int64(0); through < end; {
		entries, to, err := c.Next(t.Context(), 100)
		require.NoError(t, err)
		for _, e := range entries {
			require.NoError(t, e.Err)
			list = append(list, e.Envelope)
		}
		through = to
	}
	require.NoError(t, c.Close(t.Context()))
	return list
}

func numbersOf(envs []*jitney.Envelope) []int { return (&heard{envs: envs}).numbers() }

// place is a bus, and what it is called.
type place struct {
	*jitney.Bus
	name string
}

func newPlace(name string, opts ...jitney.Option) place {
	return place{jitney.New(append([]jitney.Option{silent, jitney.WithSource(name)}, opts...)...), name}
}

// to are the ends of a bridge from p to an engine.
func (p place) to(engine jitney.Journal, name string) bridge.Ends {
	return bridge.Ends{Bus: p.Bus, Here: p.name, Engine: engine, There: name, Logger: slog.New(slog.DiscardHandler)}
}

// settle flushes what is to be flushed until nothing moves any more, for a day of a bubble's time.
func settle(t *testing.T, ways ...*bridge.Way) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
	defer cancel()
	for range len(ways) + 1 {
		for _, w := range ways {
			require.NoError(t, w.Bus().Flush(ctx))
		}
	}
}

// end closes ways, then buses.
func end(t *testing.T, ways []*bridge.Way, buses ...place) {
	t.Helper()
	for _, w := range ways {
		require.NoError(t, w.Close(t.Context()))
	}
	for _, b := range buses {
		require.NoError(t, b.Shutdown(t.Context()))
	}
}
