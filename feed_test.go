package jitney_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/jitneytest"
	"github.com/jitney-go/jitney/wire"
)

// known are the types of this package's tests.
func known() *wire.Types {
	types := wire.NewTypes()
	wire.Register[fact](types)
	return types
}

// heard collects what a subscriber has handled.
type heard struct {
	mu   sync.Mutex
	list []int
}

func (h *heard) handle(_ context.Context, f fact) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = append(h.list, f.N)
	return nil
}

func (h *heard) numbers() []int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]int(nil), h.list...)
}

func TestDurableSubscriptionGoesOnWhereItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := jitneytest.NewMemoryJournal(known())
		begin := func(handle func(context.Context, fact) error, opts ...jitney.SubscribeOption) (*jitney.Bus, *jitney.Subscription) {
			b := jitney.New(silent, jitney.WithJournal(j))
			return b, jitney.Subscribe(b, "s", handle, opts...)
		}
		var first, second heard
		b, s := begin(func(ctx context.Context, f fact) error {
			if f.N == 2 { // it hangs until the process dies
				<-ctx.Done()
				return ctx.Err()
			}
			return first.handle(ctx, f)
		})
		for n := range 5 {
			require.NoError(t, b.Publish(t.Context(), fact{N: n}))
		}
		synctest.Wait()
		assert.Equal(t, []int{0, 1}, first.numbers())
		assert.Equal(t, 1, s.Stats().Running)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.NoError(t, b.Shutdown(ctx), "nothing is unhandled for good: the journal has it")

		b, _ = begin(second.handle)
		require.NoError(t, b.Publish(t.Context(), fact{N: 5}))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []int{2, 3, 4, 5}, second.numbers())
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

func TestEachSubscriberOfAJournalHasItsOwnPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := jitneytest.NewMemoryJournal(known())
		b := jitney.New(silent, jitney.WithJournal(j))
		require.NoError(t, b.Publish(t.Context(), fact{N: 0}), "nobody has subscribed, and it is kept all the same")
		var fromBeginning, fromNow, ephemeral, inline heard
		assert.True(t, jitney.Subscribe(b, "beginning", fromBeginning.handle, jitney.WithStart(jitney.FromBeginning())).Durable())
		assert.True(t, jitney.Subscribe(b, "now", fromNow.handle, jitney.WithWorkers(4)).Durable())
		assert.False(t, jitney.Subscribe(b, "ephemeral", ephemeral.handle, jitney.WithEphemeral()).Durable())
		assert.False(t, jitney.Subscribe(b, "inline", inline.handle, jitney.WithSync()).Durable())
		require.NoError(t, b.Publish(t.Context(), fact{N: 1}))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []int{0, 1}, fromBeginning.numbers())
		for _, h := range []*heard{&fromNow, &ephemeral, &inline} {
			assert.Equal(t, []int{1}, h.numbers())
		}
		end, err := j.End(t.Context())
		require.NoError(t, err)
		assert.EqualValues(t, 2, end)

		err = b.Forward(t.Context(), envelopeOf(t, b, fact{N: 2}), "now")
		require.ErrorIs(t, err, jitney.ErrFedByJournal)
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// envelopeOf publishes e and returns its envelope.
func envelopeOf(t *testing.T, b *jitney.Bus, e fact) (env *jitney.Envelope) {
	s := jitney.Subscribe(b, "envelopes", func(ctx context.Context, _ fact) error {
		env = jitney.FromContext(ctx).Envelope
		return nil
	}, jitney.WithSync())
	require.NoError(t, b.Publish(t.Context(), e))
	require.NoError(t, s.Close(t.Context()))
	return env
}

func TestWhatTheJournalRefusesNobodyGets(t *testing.T) {
	b := jitney.New(silent, jitney.WithJournal(jitneytest.NewMemoryJournal(known())),
		jitney.WithPublishHook(func(_ context.Context, env *jitney.Envelope) error {
			if env.Event.(fact).N == 1 {
				env.Headers = map[string]string{"Upper": "case"}
			}
			return nil
		}))
	var durable, inline heard
	jitney.Subscribe(b, "durable", durable.handle)
	jitney.Subscribe(b, "inline", inline.handle, jitney.WithSync())
	err := b.Publish(t.Context(), fact{N: 0}, fact{N: 1})
	require.ErrorIs(t, err, wire.ErrInvalidHeader)
	assert.Contains(t, err.Error(), "test.fact")
	var refused *jitney.AppendError
	require.ErrorAs(t, err, &refused)
	require.Len(t, refused.Envelopes, 2)
	require.NoError(t, b.Forward(t.Context(), refused.Envelopes[0]), "whoever wants to try again has what to try with")
	require.NoError(t, b.Flush(t.Context()))
	assert.Equal(t, []int{0}, durable.numbers())
	assert.Equal(t, []int{0}, inline.numbers())
	durable.list, inline.list = nil, nil
	require.NoError(t, b.Flush(t.Context()))
	assert.Empty(t, durable.numbers())
	assert.Empty(t, inline.numbers())
	require.NoError(t, b.Shutdown(t.Context()))
}

func TestWhatAHandlerPublishesOnAJournalIsItsEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(silent, jitney.WithJournal(jitneytest.NewMemoryJournal(known())))
		var causes atomic.Int32
		jitney.Subscribe(b, "s", func(ctx context.Context, f fact) error {
			d := jitney.FromContext(ctx)
			if f.N > 0 {
				causes.Add(1)
				assert.Equal(t, f.N, 3-d.Hops)
				return b.Publish(ctx, fact{N: f.N - 1})
			}
			return nil
		})
		require.NoError(t, b.Publish(t.Context(), fact{N: 3}))
		require.NoError(t, b.Flush(t.Context()), "Flush waits for the effects as well")
		assert.EqualValues(t, 3, causes.Load())
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

func TestDurableSubscriptionTakesNoMoreThanItHasRoomFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(silent, jitney.WithJournal(jitneytest.NewMemoryJournal(known())))
		release := make(chan struct{})
		s := jitney.Subscribe(b, "s", func(context.Context, fact) error { <-release; return nil },
			jitney.WithBuffer(10), jitney.WithOverflow(jitney.DropOldest))
		for n := range 100 {
			require.NoError(t, b.Publish(t.Context(), fact{N: n}), "a slow subscriber holds up nobody")
		}
		synctest.Wait()
		assert.EqualValues(t, 10, s.Stats().Accepted)
		close(release)
		require.NoError(t, b.Flush(t.Context()))
		assert.EqualValues(t, 100, s.Stats().Handled)
		assert.Zero(t, s.Stats().Dropped)
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// patchy is a journal that fails when it is told to.
type patchy struct {
	jitney.Journal
	down atomic.Bool
}

var errDown = errors.New("journal is down")

func (m *patchy) Open(ctx context.Context, d jitney.Durable) (jitney.Cursor, error) {
	if m.down.Load() {
		return nil, errDown
	}
	c, err := m.Journal.Open(ctx, d)
	return &patchyCursor{c, m}, err
}

type patchyCursor struct {
	jitney.Cursor
	m *patchy
}

func (c *patchyCursor) Next(ctx context.Context, most int) ([]jitney.Entry, int64, error) {
	if c.m.down.Load() {
		return nil, 0, errDown
	}
	return c.Cursor.Next(ctx, most)
}

func TestJournalThatDoesNotAnswerIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &patchy{Journal: jitneytest.NewMemoryJournal(known())}
		m.down.Store(true)
		b := jitney.New(silent, jitney.WithJournal(m))
		var h heard
		s := jitney.Subscribe(b, "s", h.handle)
		time.Sleep(time.Millisecond)
		require.NoError(t, b.Publish(t.Context(), fact{N: 1}))
		synctest.Wait()
		assert.Empty(t, h.numbers())
		m.down.Store(false)
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []int{1}, h.numbers(), "it begins where it would have begun")

		m.down.Store(true)
		require.NoError(t, b.Publish(t.Context(), fact{N: 2}, fact{N: 3}))
		time.Sleep(time.Minute)
		m.down.Store(false)
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []int{1, 2, 3}, h.numbers())
		assert.Positive(t, s.Stats().StoreErrors)
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

func TestG29UnknownStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := jitneytest.NewMemoryJournal(wire.NewTypes()) // a program that knows nothing
		b := jitney.New(silent, jitney.WithJournal(j))
		var typed, all, family atomic.Int32
		s := jitney.Subscribe(b, "typed", func(context.Context, fact) error { typed.Add(1); return nil })
		jitney.Subscribe(b, "all", func(_ context.Context, e jitney.Event) error {
			assert.IsType(t, jitney.RawEvent{}, e)
			all.Add(1)
			return nil
		})
		jitney.Subscribe(b, "family", func(context.Context, relative) error { family.Add(1); return nil })
		require.NoError(t, b.Publish(t.Context(), fact{N: 1}))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, [3]int32{0, 1, 0}, [3]int32{typed.Load(), all.Load(), family.Load()})
		assert.EqualValues(t, 1, s.Stats().Unknown)
		require.NoError(t, b.Shutdown(t.Context()))

		j.Crash(known())
		b = jitney.New(silent, jitney.WithJournal(j))
		jitney.Subscribe(b, "typed", func(context.Context, fact) error { typed.Add(1); return nil })
		jitney.Subscribe(b, "family", func(context.Context, relative) error { family.Add(1); return nil })
		require.NoError(t, b.Flush(t.Context()))
		assert.EqualValues(t, 1, typed.Load())
		assert.Zero(t, family.Load(), "it is known now not to be of the family")
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

type relative interface {
	jitney.Event
	Related()
}

func TestTwoSubscriptionsCannotShareAPlace(t *testing.T) {
	j := jitneytest.NewMemoryJournal(known())
	one, two := jitney.New(silent, jitney.WithJournal(j)), jitney.New(silent, jitney.WithJournal(j))
	var h heard
	jitney.Subscribe(one, "s", h.handle)
	assert.Panics(t, func() { jitney.Subscribe(two, "s", h.handle) })
	require.NoError(t, one.Shutdown(t.Context()))
	jitney.Subscribe(two, "s", h.handle)
	require.NoError(t, two.Shutdown(t.Context()))
}

func TestFailuresOnAJournalAreHandledAsEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		letters := &jitney.MemoryDeadLetters{}
		b := jitney.New(silent, jitney.WithJournal(jitneytest.NewMemoryJournal(known())))
		broken := true
		s := jitney.Subscribe(b, "s", func(context.Context, fact) error {
			if broken {
				return errBoom
			}
			return nil
		}, jitney.WithDeadLetters(letters), jitney.WithRetry(jitney.Retry{Attempts: 3}),
			jitney.WithFairShare(jitney.FairShare{By: func(*jitney.Envelope) string {
				if broken {
					panic("no share")
				}
				return ""
			}}))
		require.NoError(t, b.Publish(t.Context(), fact{N: 1}))
		require.NoError(t, b.Flush(t.Context()))
		st := s.Stats()
		assert.Equal(t, [3]uint64{1, 2, 0}, [3]uint64{st.Dead, st.Retried, st.Handled})
		broken = false
		list, err := letters.List(t.Context(), jitney.DeadLetterFilter{})
		require.NoError(t, err)
		require.NoError(t, b.Redeliver(t.Context(), list[0]))
		assert.EqualValues(t, 1, s.Stats().Handled)
		assert.Zero(t, s.Stats().Unaccounted())
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// deaf is a journal that forgets what is settled, as if the process always died before that was stored.
type deaf struct{ jitney.Journal }

func (d deaf) Open(ctx context.Context, durable jitney.Durable) (jitney.Cursor, error) {
	c, err := d.Journal.Open(ctx, durable)
	return deafCursor{c}, err
}

type deafCursor struct{ jitney.Cursor }

func (deafCursor) Settle(int64, jitney.Outcome) {}

func TestADeliveryThatDiesAgainAfterADeathOfTheProcessIsOneLetter(t *testing.T) {
	j := jitneytest.NewMemoryJournal(known())
	letters := &jitney.MemoryDeadLetters{}
	for n := range 3 {
		j.Crash(known())
		b := jitney.New(silent, jitney.WithJournal(deaf{j}), jitney.WithDeadLetters(letters))
		for _, name := range []string{"s", "t"} {
			jitney.Subscribe(b, name, func(context.Context, fact) error { return jitney.Permanent(errBoom) })
		}
		if n == 0 {
			require.NoError(t, b.Publish(t.Context(), fact{N: 1}, fact{N: 2}))
		}
		require.NoError(t, b.Flush(t.Context()))
		require.NoError(t, b.Shutdown(t.Context()))
		list, err := letters.List(t.Context(), jitney.DeadLetterFilter{})
		require.NoError(t, err)
		assert.Len(t, list, 4, "one for each event and subscriber")
	}
}

func TestWhatWasInFlightAtThreeDeathsIsALetter(t *testing.T) {
	letters := &jitney.MemoryDeadLetters{}
	b := jitney.New(silent, jitney.WithJournal(deadly{jitneytest.NewMemoryJournal(known())}), jitney.WithDeadLetters(letters))
	var h heard
	jitney.Subscribe(b, "s", h.handle, jitney.WithRetry(jitney.Retry{Attempts: 9}), jitney.WithFairShare(jitney.FairShare{}))
	for n := range 5 {
		require.NoError(t, b.Publish(t.Context(), fact{N: n}))
	}
	require.NoError(t, b.Flush(t.Context()))
	assert.Equal(t, []int{0, 1, 2}, h.numbers())
	list, err := letters.List(t.Context(), jitney.DeadLetterFilter{})
	require.NoError(t, err)
	require.Len(t, list, 2)
	assert.Equal(t, jitney.ReasonCrashed, list[0].Reason)
	require.NoError(t, b.Redeliver(t.Context(), list[0]), "who redelivers it knows what it is")
	assert.Len(t, h.numbers(), 4)
	require.NoError(t, b.Shutdown(t.Context()))
}

// deadly is a journal that says of each entry that it was in flight at as many deaths as its position.
type deadly struct{ jitney.Journal }

func (d deadly) Open(ctx context.Context, durable jitney.Durable) (jitney.Cursor, error) {
	c, err := d.Journal.Open(ctx, durable)
	return deadlyCursor{c}, err
}

type deadlyCursor struct{ jitney.Cursor }

func (c deadlyCursor) Next(ctx context.Context, most int) ([]jitney.Entry, int64, error) {
	entries, through, err := c.Cursor.Next(ctx, most)
	for i := range entries {
		entries[i].Crashes = int(entries[i].Position) - 1
	}
	return entries, through, err
}

func TestARetryGoesOnAfterADeathOfTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := jitneytest.NewMemoryJournal(known())
		letters := &jitney.MemoryDeadLetters{}
		var mu sync.Mutex
		var attempts []string
		start := time.Now()
		begin := func() (*jitney.Bus, *jitney.Subscription) {
			b := jitney.New(silent, jitney.WithJournal(j), jitney.WithDeadLetters(letters))
			return b, jitney.Subscribe(b, "s", func(ctx context.Context, f fact) error {
				d := jitney.FromContext(ctx)
				mu.Lock()
				defer mu.Unlock()
				attempts = append(attempts, fmt.Sprint(f.N, "#", d.Attempt, " ", time.Since(start)))
				if f.Key == "bad" && f.N == 0 {
					return jitney.RetryAfter(time.Hour, errBoom)
				}
				return nil
			}, jitney.WithWorkers(4), jitney.WithRetry(jitney.Retry{Attempts: 3}))
		}
		b, s := begin()
		require.NoError(t, b.Publish(t.Context(), fact{Key: "bad", N: 0}, fact{Key: "bad", N: 1}))
		synctest.Wait()
		require.NoError(t, b.Publish(t.Context(), fact{Key: "good", N: 2}))
		synctest.Wait()
		assert.Equal(t, []string{"0#1 0s", "2#1 0s"}, attempts)
		assert.Equal(t, [2]int{1, 1}, [2]int{s.Stats().Waiting, s.Stats().Queued})
		time.Sleep(20 * time.Minute)
		require.NoError(t, b.Shutdown(t.Context()), "it is the journal's, and nobody waits for it")
		assert.Equal(t, 20*time.Minute, time.Since(start))

		b, _ = begin()
		time.Sleep(39 * time.Minute)
		assert.Len(t, attempts, 2)
		j.Crash(known()) // and b goes on, as a process does that does not know that it is dead
		b2, _ := begin()
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Equal(t, "0#2 1h0m0s", attempts[2])
		require.NoError(t, b.Shutdown(t.Context()))
		require.NoError(t, b2.Flush(t.Context()))
		assert.Equal(t, "0#3 2h0m0s", attempts[len(attempts)-2])
		assert.Equal(t, "1#1 2h0m0s", attempts[len(attempts)-1], "what is behind it keeps its place")
		list, err := letters.List(t.Context(), jitney.DeadLetterFilter{})
		require.NoError(t, err)
		require.Len(t, list, 1)
		assert.Equal(t, 3, list[0].Attempts)
		require.NoError(t, b2.Shutdown(t.Context()))
	})
}

func TestKeysThatWaitForLongLeaveRoomForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(silent, jitney.WithJournal(jitneytest.NewMemoryJournal(known())))
		var good heard
		var mended atomic.Bool
		s := jitney.Subscribe(b, "s", func(ctx context.Context, f fact) error {
			if f.Key == "bad" && !mended.Load() {
				return jitney.RetryAfter(time.Hour, errBoom)
			}
			return good.handle(ctx, f)
		}, jitney.WithWorkers(4), jitney.WithBuffer(10), jitney.WithRetry(jitney.Retry{Attempts: 3}))
		for n := range 50 {
			require.NoError(t, b.Publish(t.Context(), fact{Key: "bad", N: n}))
		}
		for n := range 50 {
			require.NoError(t, b.Publish(t.Context(), fact{Key: "good", N: 100 + n}))
		}
		synctest.Wait()
		assert.Len(t, good.numbers(), 50, "a buffer of 10 does not stand still behind one key")
		assert.Equal(t, 50, s.Stats().Queued+s.Stats().Waiting)
		for n := range 200 {
			require.NoError(t, b.Publish(t.Context(), fact{Key: "bad", N: 50 + n}))
		}
		synctest.Wait()
		assert.LessOrEqual(t, s.Stats().Queued+s.Stats().Waiting, 10+10*10, "memory is bounded all the same")
		mended.Store(true)
		require.NoError(t, b.Flush(t.Context()))
		got := good.numbers()
		require.Len(t, got, 300)
		for n := range 250 {
			assert.Equal(t, n, got[50+n])
		}
		assert.Zero(t, s.Stats().Unaccounted())
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

func TestAClockThatIsSetBackMakesNoWaitLonger(t *testing.T) {
	now := time.Now()
	p := jitney.Progress{Due: now.Add(time.Minute), Wait: time.Minute}
	assert.Equal(t, time.Minute, p.Left(now))
	assert.Equal(t, 20*time.Second, p.Left(now.Add(40*time.Second)))
	assert.Zero(t, p.Left(now.Add(time.Hour)), "it is overdue")
	assert.Equal(t, time.Minute, p.Left(now.Add(-time.Hour)), "the clock was an hour ahead")
}
