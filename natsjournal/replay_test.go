package natsjournal_test

import (
	"bytes"
	"log/slog"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/natsjournal"
)

// settle settles entries, and returns their numbers.
func settle(c jitney.Cursor, entries []jitney.Entry) (ns []int) {
	for _, e := range entries {
		ns = append(ns, e.Envelope.Event.(counted).N)
		c.Settle(e.Position, jitney.Settled)
	}
	return ns
}

func TestG25Replay(t *testing.T) {
	places(t, func(t *testing.T, begin beginning) {
		j := open(t, begin(t))
		for n := range 6 {
			env := sealed(number(n))
			env.Key = []string{"even", "odd"}[n%2]
			require.NoError(t, j.Append(t.Context(), env))
		}
		c, err := j.Open(t.Context(), jitney.Durable{Name: "s", From: jitney.FromBeginning()})
		require.NoError(t, err)
		assert.Equal(t, []int{0, 1, 2, 3}, settle(c, next(t, c, 4)))
		other, err := j.Open(t.Context(), jitney.Durable{Name: "effects", From: jitney.FromBeginning(), SideEffects: true})
		require.NoError(t, err)
		settle(other, next(t, other, 6))

		odd := "odd"
		replay := natsjournal.Replay{Subscriber: "s", From: jitney.FromBeginning(), Key: &odd, DryRun: true}
		done, err := j.Replay(t.Context(), replay)
		require.NoError(t, err)
		assert.Equal(t, natsjournal.Replayed{Looked: 4, Queued: 2, Through: 4}, done)
		replay.DryRun = false
		var told []natsjournal.Replayed
		replay.OnProgress = func(r natsjournal.Replayed) { told = append(told, r) }
		done, err = j.Replay(t.Context(), replay)
		require.NoError(t, err)
		assert.Equal(t, []natsjournal.Replayed{done}, told)
		list, err := j.Places(t.Context())
		require.NoError(t, err)
		assert.EqualValues(t, 2, list[1].Replaying)
		require.NoError(t, c.Close(t.Context())) // it is kept until it is settled

		c, err = j.Open(t.Context(), jitney.Durable{Name: "s"})
		require.NoError(t, err)
		assert.Equal(t, []int{1, 3, 4, 5}, settle(c, next(t, c, 4)))
		_, err = j.Replay(t.Context(), natsjournal.Replay{Subscriber: "s", Position: 6})
		require.NoError(t, err)
		assert.Equal(t, []int{5}, settle(c, next(t, c, 1)))

		_, err = j.Replay(t.Context(), natsjournal.Replay{Subscriber: "effects", Position: 1})
		require.ErrorIs(t, err, natsjournal.ErrSideEffects)
		_, err = j.Replay(t.Context(), natsjournal.Replay{Subscriber: "effects", Position: 6, Type: "natstest.counted", SideEffects: true})
		require.NoError(t, err)
		assert.Equal(t, []int{5}, settle(other, next(t, other, 1)))
		_, err = j.Replay(t.Context(), natsjournal.Replay{Subscriber: "nobody", Position: 1})
		require.ErrorIs(t, err, natsjournal.ErrNotOpen)
		_, err = j.Replay(t.Context(), natsjournal.Replay{Subscriber: "s"})
		require.ErrorContains(t, err, "no beginning")

		require.ErrorIs(t, j.Forget(t.Context(), "s"), jitney.ErrInUse)
		require.NoError(t, c.Close(t.Context()))
		require.NoError(t, other.Close(t.Context()))
		require.NoError(t, j.Forget(t.Context(), "s"))
		list, err = j.Places(t.Context())
		require.NoError(t, err)
		assert.Equal(t, []natsjournal.Place{{Subscriber: "effects", Position: 6}}, list)
	})
}

// record is a log that is read while it is written.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func TestWhatIsRemovedBeforeItIsReadIsSaid(t *testing.T) {
	places(t, func(t *testing.T, begin beginning) {
		p := begin(t)
		var said record
		j := open(t, p, natsjournal.WithLogger(slog.New(slog.NewTextHandler(&said, nil))))
		open := func(name, typ string) jitney.Cursor {
			c, err := j.Open(t.Context(), jitney.Durable{Name: name, Type: typ, From: jitney.FromBeginning()})
			require.NoError(t, err)
			return c
		}
		for n := range 6 {
			require.NoError(t, j.Append(t.Context(), sealed(number(n))))
		}
		one := open("one", "natstest.counted")
		entries := next(t, one, 2)
		one.Postpone(entries[0].Position, jitney.Progress{Attempts: 1})
		one.Settle(entries[1].Position, jitney.Settled)
		require.NoError(t, one.Close(t.Context()))
		for _, name := range []string{"all", "typed"} {
			require.NoError(t, open(name, "").Close(t.Context()))
		}
		p.Purge(t, 5)
		all, typed := open("all", ""), open("typed", "natstest.counted")
		assert.Equal(t, []int{4, 5}, settle(all, next(t, all, 2)))
		assert.Contains(t, said.String(), "subscriber=all from=1 to=4 all_for_it=true")
		assert.Equal(t, []int{4, 5}, settle(typed, next(t, typed, 2)))
		assert.Contains(t, said.String(), "subscriber=typed from=1 to=4 all_for_it=false")
		one = open("one", "natstest.counted")
		assert.Equal(t, []int{4, 5}, settle(one, next(t, one, 2)))
		assert.Contains(t, said.String(), "subscriber=one position=1")
		assert.Contains(t, said.String(), "subscriber=one from=3 to=4")
		require.NoError(t, one.Close(t.Context()))
		assert.ElementsMatch(t, []string{"all.place", "one.place", "typed.place"}, p.Keys(t), "what is gone is no longer aside")
	})
}
