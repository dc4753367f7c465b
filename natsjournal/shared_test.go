package natsjournal_test

import (
	"context"
	"log/slog"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/natsjournal/internal/natstest"
)

// witness notes what the processes that share a subscriber handle.
type witness struct {
	mu      sync.Mutex
	handled []counted
	by      map[string]int
	running map[string]int // handlers, by key
	overlap int
}

func (w *witness) subscribe(j jitney.Journal, process string) *jitney.Bus {
	b := jitney.New(jitney.WithJournal(j), jitney.WithLogger(slog.New(slog.DiscardHandler)))
	jitney.Subscribe(b, "shared", func(_ context.Context, e counted) error {
		w.mu.Lock()
		if w.running[e.Key]++; w.running[e.Key] > 1 {
			w.overlap++
		}
		w.mu.Unlock()
		for range 20 { // so that another one could come between
			runtime.Gosched()
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.running[e.Key]--
		w.handled = append(w.handled, e)
		w.by[process]++
		return nil
	}, jitney.WithStart(jitney.FromBeginning()), jitney.WithWorkers(4))
	return b
}

// all reports whether so many different ones have been handled.
func (w *witness) all(n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := make(map[counted]bool)
	for _, e := range w.handled {
		seen[e] = true
	}
	return len(seen) >= n
}

// inOrder checks that each key's events were handled in their order, by the first time that each was, and returns how
// many were handled again.
func (w *witness) inOrder(t *testing.T) (repeats int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := make(map[counted]bool)
	next := make(map[string]int)
	for _, e := range w.handled {
		if seen[e] {
			repeats++
			continue
		}
		seen[e] = true
		assert.Equal(t, next[e.Key], e.N, "of key %s", e.Key)
		next[e.Key] = e.N + 1
	}
	assert.Zero(t, w.overlap, "handlers of one key at once")
	return repeats
}

func TestOneProcessAtATimeHasASubscriber(t *testing.T) {
	places(t, func(t *testing.T, begin beginning) {
		p := begin(t)
		w := &witness{by: make(map[string]int), running: make(map[string]int)}
		n := 0
		publish := func(b *jitney.Bus) {
			t.Helper()
			for range 10 {
				for _, key := range []string{"a", "b", "c"} {
					require.NoError(t, b.Publish(t.Context(), counted{Key: key, N: n / 3}))
					n++
				}
			}
		}
		await := func() {
			t.Helper()
			require.Eventually(t, func() bool { return w.all(n) }, natstest.Patience, 5*time.Millisecond)
		}
		first := open(t, p)
		a := w.subscribe(first, "first")
		publish(a)
		await()
		second := open(t, p)
		b := w.subscribe(second, "second")
		publish(b)
		await()
		require.NoError(t, b.Flush(t.Context()), "what is the other's does not hold it up")
		assert.Equal(t, map[string]int{"first": 60}, w.by)

		require.NoError(t, a.Shutdown(t.Context()))
		require.NoError(t, first.Close())
		publish(b)
		await()
		assert.Zero(t, w.inOrder(t), "handled again although the owner has closed")
		assert.Equal(t, 30, w.by["second"])

		third := open(t, p)
		c := w.subscribe(third, "third")
		publish(c)
		await()
		second.Kill()
		publish(c)
		await()
		w.inOrder(t)
		assert.Positive(t, w.by["third"])
		require.NoError(t, c.Shutdown(t.Context()))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_ = b.Shutdown(ctx) // it is dead
	})
}

func TestWhoIsCutOffLosesItsPlaceBeforeAnotherTakesIt(t *testing.T) {
	s := listening(t)
	proxy := natstest.NewProxy(t, strings.TrimPrefix(s.URL(), "nats://"))
	cutOff := open(t, connecting(proxy.URL))
	other := open(t, connecting(s.URL()))
	var recalled atomic.Int64
	durable := func(recall func(context.Context, ...int64) error) jitney.Durable {
		return jitney.Durable{Name: "s", From: jitney.FromBeginning(), Window: 10, Recall: recall}
	}
	mine, err := cutOff.Open(t.Context(), durable(func(_ context.Context, positions ...int64) error {
		recalled.Store(int64(len(positions)))
		return nil
	}))
	require.NoError(t, err)
	for n := range 4 {
		require.NoError(t, other.Append(t.Context(), sealed(number(n))))
	}
	entries := next(t, mine, 4)
	mine.Settle(entries[0].Position, jitney.Settled)
	theirs, err := other.Open(t.Context(), durable(nil))
	require.NoError(t, err)
	_, through, err := theirs.Next(t.Context(), 1)
	require.NoError(t, err)
	assert.Equal(t, int64(math.MaxInt64), through, "nothing is to be handled here")
	require.Eventually(t, func() bool {
		list, err := other.Places(t.Context())
		return err == nil && list[0].Position == entries[0].Position
	}, natstest.Patience, 5*time.Millisecond)

	proxy.Cut(time.Hour)
	again := next(t, theirs, 1)
	assert.EqualValues(t, 3, recalled.Load(), "before another process was given anything")
	assert.Equal(t, number(1), again[0].Envelope.Event)
	mine.Settle(entries[3].Position, jitney.Settled) // it is not ours any more
	theirs.Settle(again[0].Position, jitney.Settled)
	assert.Equal(t, number(2), next(t, theirs, 1)[0].Envelope.Event)

	proxy.Cut(0)
	_, through, err = mine.Next(t.Context(), 1)
	require.NoError(t, err)
	assert.Equal(t, int64(math.MaxInt64), through)
	require.ErrorIs(t, mine.Hold(t.Context(), jitney.Held{Paused: true}), jitney.ErrInUse)
	require.NoError(t, theirs.Close(t.Context()))
	entries = next(t, mine, 2)
	assert.Equal(t, []any{number(2), number(3)}, []any{entries[0].Envelope.Event, entries[1].Envelope.Event})
	require.NoError(t, mine.Close(t.Context()))
}

func TestNotesOfWhoHasLostThePlaceDoNotHold(t *testing.T) {
	p := natstest.Embedded(t)
	j := open(t, p)
	for n := range 3 {
		require.NoError(t, j.Append(t.Context(), sealed(number(n))))
	}
	c, err := j.Open(t.Context(), jitney.Durable{Name: "s", From: jitney.FromBeginning()})
	require.NoError(t, err)
	entries := next(t, c, 3)
	c.Postpone(entries[1].Position, jitney.Progress{Attempts: 1, Wait: time.Minute})
	c.Settle(entries[0].Position, jitney.Settled)
	require.NoError(t, c.Close(t.Context()))
	p.Put(t, "s.aside.1", `{"Reason":2,"by":"somebody"}`) // written late, by who does not know
	c, err = j.Open(t.Context(), jitney.Durable{Name: "s"})
	require.NoError(t, err)
	entries = next(t, c, 2)
	assert.Equal(t, []any{number(1), number(2)}, []any{entries[0].Envelope.Event, entries[1].Envelope.Event})
	require.NotNil(t, entries[0].Progress)
	c.Settle(entries[0].Position, jitney.Settled)
	c.Settle(entries[1].Position, jitney.Settled)
	require.NoError(t, c.Close(t.Context()))
	assert.Equal(t, []string{"s.place"}, p.Keys(t), "what is settled, or does not hold, leaves no key")
}
