package jitney_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/jitneytest"
)

// sharedJournal is a journal that takes back what it has given, as one does that several processes share.
type sharedJournal struct {
	*jitneytest.MemoryJournal
	recall func(context.Context, ...int64) error

	mu      sync.Mutex
	grown   sync.Cond
	coming  []jitney.Entry // what it gives next
	flying  []jitney.Entry // in order
	stopped bool           // it gives nothing
	turns   int            // times that it has gone on
	err     error          // of the reading
}

func newSharedJournal() *sharedJournal {
	j := &sharedJournal{MemoryJournal: jitneytest.NewMemoryJournal(known())}
	j.grown.L = &j.mu
	return j
}

func (j *sharedJournal) Open(ctx context.Context, d jitney.Durable) (jitney.Cursor, error) {
	c, err := j.MemoryJournal.Open(ctx, d)
	j.recall = d.Recall
	return &sharedCursor{Cursor: c, j: j}, err
}

type sharedCursor struct {
	jitney.Cursor
	j     *sharedJournal
	begin sync.Once
}

func (c *sharedCursor) Next(ctx context.Context, most int) ([]jitney.Entry, int64, error) {
	j := c.j
	c.begin.Do(func() { go c.read(ctx) })
	j.mu.Lock()
	defer j.mu.Unlock()
	turns := j.turns
	for j.err == nil && j.turns == turns && (j.stopped || len(j.coming) == 0) {
		j.grown.Wait()
	}
	if j.turns != turns {
		return nil, 0, j.err
	}
	n := min(most, len(j.coming))
	entries := slices.Clone(j.coming[:n])
	j.coming = slices.Delete(j.coming, 0, n)
	j.flying = append(j.flying, entries...)
	return entries, 0, j.err
}

func (c *sharedCursor) read(ctx context.Context) {
	for {
		entries, _, err := c.Cursor.Next(ctx, 10)
		c.j.mu.Lock()
		c.j.coming, c.j.err = append(c.j.coming, entries...), err
		c.j.grown.Broadcast()
		c.j.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (c *sharedCursor) Settle(position int64, o jitney.Outcome) {
	c.j.mu.Lock()
	c.j.flying = slices.DeleteFunc(c.j.flying, func(e jitney.Entry) bool { return e.Position == position })
	c.j.mu.Unlock()
	c.Cursor.Settle(position, o)
}

// takeBack stops giving, recalls all that is in flight, and returns how much of it has not been settled then.
func (j *sharedJournal) takeBack(ctx context.Context) (int, error) {
	j.mu.Lock()
	j.stopped = true
	var all []int64
	for _, e := range j.flying {
		all = append(all, e.Position)
	}
	j.mu.Unlock()
	err := j.recall(ctx, all...)
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.flying), err
}

// giveBack has what was taken back come again, and goes on.
func (j *sharedJournal) giveBack() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.coming = append(j.flying, j.coming...)
	j.flying, j.stopped = nil, false
	j.turns++
	j.grown.Broadcast()
}

func TestWhatAJournalRecallsIsNotHandledHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newSharedJournal()
		letters := &jitney.MemoryDeadLetters{}
		b := jitney.New(silent, jitney.WithJournal(j))
		let := make(chan struct{})
		var h heard
		s := jitney.Subscribe(b, "s", func(ctx context.Context, f fact) error {
			switch f.Key {
			case "running":
				<-let
			case "waits":
				return errors.New("not yet")
			case "dead":
				if f.N == 0 {
					return jitney.Permanent(errors.New("never"))
				}
			}
			return h.handle(ctx, f)
		}, jitney.WithWorkers(4), jitney.WithParking(10), jitney.WithDeadLetters(letters),
			jitney.WithRetry(jitney.Retry{Attempts: 9, Base: time.Hour, Max: time.Hour, Jitter: jitney.NoJitter}))
		publish := func(from int) {
			for _, key := range []string{"running", "waits", "dead"} {
				for n := range 2 {
					require.NoError(t, b.Publish(t.Context(), fact{Key: key, N: from + n}))
				}
			}
			synctest.Wait()
		}
		publish(0)
		st := s.Stats()
		assert.Equal(t, []int{1, 1, 1, 1, 2}, []int{st.Running, st.Waiting, st.Parked, int(st.Dead), st.Queued})

		hurried, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := j.takeBack(hurried)
		require.ErrorIs(t, err, context.DeadlineExceeded, "a handler runs")
		st = s.Stats()
		assert.Equal(t, []int{1, 0, 0, 0, 4}, []int{st.Running, st.Waiting, st.Parked, st.Queued, int(st.Recalled)})

		back := make(chan int)
		go func() {
			rest, err := j.takeBack(t.Context())
			assert.NoError(t, err)
			back <- rest
		}()
		synctest.Wait()
		select {
		case <-back:
			require.Fail(t, "Recall has returned while a handler runs")
		default:
		}
		close(let)
		rest := <-back
		assert.Equal(t, 4, rest, "the running one has been handled, and the dead one is dead")
		assert.Equal(t, []int{0}, h.numbers())
		st = s.Stats()
		assert.Equal(t, []uint64{1, 1, 4}, []uint64{st.Handled, st.Dead, st.Recalled})
		assert.Zero(t, st.Unaccounted())
		assert.Zero(t, st.Queued+st.Waiting+st.Running+st.Parked)

		j.giveBack() // it is this process's turn after all
		time.Sleep(30 * time.Minute)
		assert.Equal(t, []int{0, 1}, h.numbers(), "one waits, with another behind it, and one is parked")
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// Whatever is recalled whenever, each key keeps its order, no key has two handlers at once, and nothing is lost.
func TestRecallUnderLoad(t *testing.T) {
	const n, keys = 300, 7
	j := newSharedJournal()
	b := jitney.New(silent, jitney.WithJournal(j))
	var mu sync.Mutex
	last, inside := map[string]int{}, map[string]bool{}
	handled := 0
	s := jitney.Subscribe(b, "s", func(_ context.Context, f fact) error {
		mu.Lock()
		assert.False(t, inside[f.Key], "two at once")
		inside[f.Key] = true
		mu.Unlock()
		fails := rand.IntN(10) == 0
		mu.Lock()
		defer mu.Unlock()
		inside[f.Key] = false
		if fails {
			return errors.New("not yet")
		}
		assert.Equal(t, last[f.Key]+1, f.N, "key %s", f.Key)
		last[f.Key] = f.N
		handled++
		return nil
	}, jitney.WithWorkers(3), jitney.WithBuffer(20), jitney.WithRetry(jitney.Retry{Attempts: 1000, Base: time.Microsecond, Max: time.Microsecond}))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range n {
			for k := range keys {
				assert.NoError(t, b.Publish(t.Context(), fact{Key: string(rune('a' + k)), N: i + 1}))
			}
		}
	}()
	for over := false; !over; {
		_, err := j.takeBack(t.Context())
		require.NoError(t, err)
		j.giveBack()
		select {
		case <-done:
			over = true
		default:
		}
	}
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return handled == n*keys
	}, time.Minute, time.Millisecond)
	require.NoError(t, b.Shutdown(t.Context()))
	st := s.Stats()
	assert.Zero(t, st.Unaccounted())
	assert.EqualValues(t, n*keys, st.Handled)
}
