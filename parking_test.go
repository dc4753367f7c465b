package jitney_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/jitneytest"
)

// strict is a subscriber that writes down what it handles and refuses the numbers in bad for good.
type strict struct {
	*jitney.Subscription
	bus     *jitney.Bus
	letters *jitney.MemoryDeadLetters
	got     []string
	bad     map[int]bool
}

func newStrict(b *jitney.Bus, limit int, opts ...jitney.SubscribeOption) *strict {
	s := &strict{bus: b, letters: &jitney.MemoryDeadLetters{}, bad: make(map[int]bool)}
	opts = append([]jitney.SubscribeOption{jitney.WithDeadLetters(s.letters), jitney.WithParking(limit)}, opts...)
	s.Subscription = jitney.Subscribe(b, "strict", func(_ context.Context, f fact) error {
		if s.bad[f.N] {
			return jitney.Permanent(errBoom)
		}
		s.got = append(s.got, fmt.Sprint(f.Key, f.N))
		return nil
	}, opts...)
	return s
}

// publish publishes facts numbered from first on, one for each key.
func (s *strict) publish(t *testing.T, first int, keys ...string) {
	t.Helper()
	for i, key := range keys {
		require.NoError(t, s.bus.Publish(t.Context(), fact{Key: key, N: first + i}))
	}
	require.NoError(t, s.bus.Flush(t.Context()))
}

func (s *strict) letter(t *testing.T) jitney.DeadLetter {
	t.Helper()
	list, err := s.letters.List(t.Context(), jitney.DeadLetterFilter{})
	require.NoError(t, err)
	require.NotEmpty(t, list)
	return list[0]
}

func (s *strict) redeliver(t *testing.T) {
	t.Helper()
	require.NoError(t, s.bus.Redeliver(t.Context(), s.letter(t)))
	require.NoError(t, s.bus.Flush(t.Context()))
}

// laneKinds are the ways in which a subscription may have its lanes.
var laneKinds = map[string][]jitney.SubscribeOption{
	"one lane": nil, "one worker": {jitney.WithWorkers(1)}, "shares": {jitney.WithFairShare(jitney.FairShare{})},
}

func TestG33Parking(t *testing.T) {
	for kind, opts := range laneKinds {
		t.Run(kind, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *jitney.Bus) {
				s := newStrict(b, 10, opts...)
				s.bad[1] = true
				s.publish(t, 1, "a", "b", "a", "a", "b")
				assert.Equal(t, []string{"b2", "b5"}, s.got, "other keys flow")
				st := s.Stats()
				assert.Equal(t, 2, st.Parked)
				assert.EqualValues(t, 1, st.Dead)
				assert.Zero(t, st.Unaccounted())
				parked := s.Parked()
				require.Len(t, parked, 1)
				assert.Equal(t, jitney.Parked{Letter: s.letter(t).ID, Key: "a", Deliveries: 2, Since: s.letter(t).Time}, parked[0])

				require.ErrorIs(t, b.Redeliver(t.Context(), s.letter(t)), errBoom)
				require.NoError(t, b.Flush(t.Context()))
				assert.Equal(t, 2, s.Stats().Parked, "the letter is back, and so they wait")

				s.bad = nil
				s.publish(t, 6, "a")
				s.redeliver(t)
				assert.Equal(t, []string{"b2", "b5", "a1", "a3", "a4", "a6"}, s.got)
				assert.Zero(t, s.Stats().Parked)
				assert.Empty(t, s.Parked())
				s.publish(t, 7, "a")
				assert.Equal(t, "a7", s.got[len(s.got)-1])
			})
		})
	}
}

func TestParkingParksAgainBehindTheNextLetter(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s := newStrict(b, 10)
		s.bad[1], s.bad[3] = true, true
		s.publish(t, 1, "a", "a", "a", "a", "b")
		s.bad[1] = false
		s.redeliver(t)
		assert.Equal(t, []string{"b5", "a1", "a2"}, s.got)
		assert.Equal(t, 1, s.Stats().Parked)
		s.bad[3] = false
		s.redeliver(t)
		assert.Equal(t, []string{"b5", "a1", "a2", "a3", "a4"}, s.got)
	})
}

func TestDiscardLetsTheRestGoOn(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s := newStrict(b, 10)
		s.bad[1] = true
		s.publish(t, 1, "a", "a", "a")
		l := s.letter(t)
		require.NoError(t, b.Discard(t.Context(), l))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []string{"a2", "a3"}, s.got)
		require.ErrorIs(t, b.Discard(t.Context(), l), jitney.ErrNoDeadLetter)
		l.Subscriber = "nobody"
		require.ErrorIs(t, b.Discard(t.Context(), l), jitney.ErrNoSubscription)
	})
}

func TestDiscardLetsTheRestGoOnWhenTheLetterIsLost(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s := newStrict(b, 10)
		s.bad[1] = true
		s.publish(t, 1, "a", "a")
		require.NoError(t, s.letters.Remove(t.Context(), s.letter(t).ID))
		p := s.Parked()[0]
		for range 2 {
			err := b.Redeliver(t.Context(), jitney.DeadLetter{ID: p.Letter, Subscriber: "strict"})
			require.ErrorIs(t, err, jitney.ErrNoDeadLetter)
		}
		require.NoError(t, b.Discard(t.Context(), jitney.DeadLetter{ID: p.Letter, Subscriber: "strict"}))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []string{"a2"}, s.got)
	})
}

func TestAmendedLetterIsHandledInItsPlace(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s := newStrict(b, 10)
		s.bad[1] = true
		s.publish(t, 1, "a", "a", "b")
		before := s.letter(t)
		l, err := b.Amend(t.Context(), before, fact{Key: "c", N: 100})
		require.NoError(t, err)
		assert.Equal(t, 1, s.Stats().Parked, "an edit alone releases nothing")
		assert.Equal(t, l, s.letter(t))
		assert.Equal(t, before.Envelope, l.Original)
		assert.Equal(t, before.Envelope.ID, l.Envelope.CausationID)
		assert.NotEqual(t, before.Envelope.ID, l.Envelope.ID)
		assert.Equal(t, before.Envelope.CorrelationID(), l.Envelope.CorrelationID())
		assert.Equal(t, "c", l.Envelope.Key)

		l, err = b.Amend(t.Context(), l, fact{Key: "d", N: 101})
		require.NoError(t, err)
		assert.Equal(t, before.Envelope, l.Original, "the one that died first")
		s.redeliver(t)
		assert.Equal(t, []string{"b3", "d101", "a2"}, s.got)
	})
}

func TestAmendRefusesWhatTheSubscriberCannotTake(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s := newStrict(b, 10)
		s.bad[1] = true
		s.publish(t, 1, "a")
		l := s.letter(t)
		_, err := b.Amend(t.Context(), l, other{})
		require.ErrorIs(t, err, jitney.ErrTypeConflict)
		_, err = b.Amend(t.Context(), l, nil)
		require.ErrorIs(t, err, jitney.ErrNilEvent)
		_, err = b.Amend(t.Context(), l, moody{throw: true})
		require.Error(t, err)
		_, err = b.Amend(t.Context(), jitney.DeadLetter{Subscriber: "strict", ID: uuid.New()}, fact{})
		require.ErrorIs(t, err, jitney.ErrNoDeadLetter)
		assert.Equal(t, l, s.letter(t), "nothing has changed")
		require.NoError(t, b.Discard(t.Context(), l))
	})
}

func TestFullParkingHoldsTheLaneAndItsLetterGetsThrough(t *testing.T) {
	for kind, opts := range laneKinds {
		t.Run(kind, func(t *testing.T) {
			log := &logged{}
			bubble(t, func(t *testing.T, b *jitney.Bus) {
				s := newStrict(b, 2, append(opts, jitney.WithBuffer(2))...)
				s.bad[1] = true
				s.publish(t, 1, "a", "a", "a")
				for n := 4; n <= 5; n++ { // they fill the buffer: nothing can be parked any more
					require.NoError(t, b.Publish(t.Context(), fact{Key: "a", N: n}))
				}
				soon, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				require.ErrorIs(t, b.Flush(soon), context.DeadlineExceeded)
				require.ErrorIs(t, b.Publish(soon, fact{Key: "a"}), context.DeadlineExceeded)
				assert.Equal(t, 2, s.Stats().Parked)
				assert.Equal(t, 2, s.Stats().Queued)
				assert.Contains(t, log.line("parking full"), "subscriber=strict")
				require.ErrorIs(t, b.Redeliver(t.Context(), s.letter(t)), errBoom)
				s.bad = nil
				s.redeliver(t)
				assert.Equal(t, []string{"a1", "a2", "a3", "a4", "a5"}, s.got)
			}, jitney.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
		})
	}
}

func TestFullParkingMakesRoomWhenAnyLetterIsDoneWith(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s := newStrict(b, 1, jitney.WithWorkers(1))
		s.bad[1], s.bad[2] = true, true
		for i, key := range []string{"a", "b", "a", "b", "c"} {
			require.NoError(t, b.Publish(t.Context(), fact{Key: key, N: i + 1}))
		}
		synctest.Wait()
		assert.Equal(t, []string{"c5"}, s.got, "with a lane per key the others flow all the same")
		require.NoError(t, b.Discard(t.Context(), s.letter(t)))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []string{"c5", "a3"}, s.got)
		assert.Equal(t, 1, s.Stats().Parked)
		require.NoError(t, b.Discard(t.Context(), s.letter(t)))
	})
}

func TestDropOldestDropsNothingThatIsParked(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s := newStrict(b, 1, jitney.WithBuffer(1), jitney.WithOverflow(jitney.DropOldest))
		s.bad[1] = true
		s.publish(t, 1, "a")
		s.publish(t, 2, "a")
		require.NoError(t, b.Publish(t.Context(), fact{Key: "a", N: 3})) // blocks the lane
		synctest.Wait()
		require.NoError(t, b.Publish(t.Context(), fact{Key: "b", N: 4}))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []string{"b4"}, s.got, "the lane goes on when what blocked it is dropped")
		assert.EqualValues(t, 1, s.Stats().Dropped)
		assert.Equal(t, 1, s.Stats().Parked)
		s.bad = nil
		s.redeliver(t)
		assert.Equal(t, []string{"b4", "a1", "a2"}, s.got)
	})
}

// What comes back from the parking is older than what its lane waits for.
func TestDropOldestLeavesALaneThatWaitsAlone(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		letters := &jitney.MemoryDeadLetters{}
		begin, tried := time.Now(), 0
		var got []string
		s := jitney.Subscribe(b, "strict", func(_ context.Context, f fact) error {
			switch {
			case f.N == 1:
				return jitney.Permanent(errBoom)
			case f.Key == "b":
				if tried++; tried == 1 {
					return errBoom
				}
			}
			got = append(got, fmt.Sprint(f.Key, f.N, time.Since(begin)))
			return nil
		}, jitney.WithDeadLetters(letters), jitney.WithParking(10), jitney.WithBuffer(2),
			jitney.WithOverflow(jitney.DropOldest), jitney.WithRetry(jitney.Retry{Base: time.Hour, Max: time.Hour, Jitter: jitney.NoJitter}))
		for n, key := range []string{"a", "a", "b"} {
			require.NoError(t, b.Publish(t.Context(), fact{Key: key, N: n + 1}))
			synctest.Wait()
		}
		require.NoError(t, b.Discard(t.Context(), jitney.DeadLetter{ID: s.Parked()[0].Letter, Subscriber: "strict"}))
		require.NoError(t, b.Publish(t.Context(), fact{Key: "c", N: 4}))
		assert.EqualValues(t, 1, s.Stats().Dropped)
		assert.Equal(t, 1, s.Stats().Waiting)
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []string{"b3 1h0m0s", "c4 1h0m0s"}, got)
	})
}

func TestShutdownReturnsWhatIsParkedAndDoesNotWaitForIt(t *testing.T) {
	for _, op := range []string{"shutdown", "close"} {
		t.Run(op, func(t *testing.T) {
			b := jitney.New(silent)
			s := newStrict(b, 10)
			s.bad[1] = true
			s.publish(t, 1, "a", "a", "a", "b")
			end := b.Shutdown
			if op == "close" {
				end = s.Close
			}
			err := end(context.Background())
			var u *jitney.UnhandledError
			require.ErrorAs(t, err, &u)
			require.ErrorIs(t, err, jitney.ErrHeldBack)
			assert.NotErrorIs(t, err, jitney.ErrDeadline)
			require.Len(t, u.Unhandled, 2)
			for i, d := range u.Unhandled {
				assert.Equal(t, 2+i, d.Envelope.Event.(fact).N)
				assert.Equal(t, s.letter(t).ID, d.Behind)
			}
			assert.Zero(t, b.Stats().Unaccounted())
			assert.Equal(t, 2, b.Stats().Parked)
			if op == "close" {
				require.NoError(t, b.Shutdown(context.Background()))
			}
		})
	}
}

func TestEventsWithoutKeyAreParkedAsOneKeyOfTheirShare(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		tenant := jitney.FairShare{By: func(env *jitney.Envelope) string { return fmt.Sprint(env.Event.(fact).From) }}
		s := newStrict(b, 10, jitney.WithFairShare(tenant))
		s.bad[1] = true
		for n := 1; n <= 4; n++ {
			require.NoError(t, b.Publish(t.Context(), fact{From: n % 2, N: n}))
		}
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []string{"2", "4"}, s.got, "the other tenant's")
		s.bad = nil
		s.redeliver(t)
		assert.Equal(t, []string{"2", "4", "1", "3"}, s.got)
	})
}

func TestParkingWithoutLettersPanics(t *testing.T) {
	b := jitney.New(silent, jitney.WithParking(1))
	assert.PanicsWithValue(t, "x", func() {
		defer func() {
			assert.Contains(t, recover(), "WithParking without WithDeadLetters")
			panic("x")
		}()
		jitney.Subscribe(b, "s", ignore)
	})
	require.NoError(t, b.Shutdown(t.Context()))
}

func TestClassNamesTheErrorBeneathTheWrappings(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		letters := &jitney.MemoryDeadLetters{}
		errs := []error{
			errors.New("text"),
			fmt.Errorf("wrapped: %w", jitney.Permanent(&jitney.PublishError{Envelope: &jitney.Envelope{}})),
			errors.Join(errBoom, context.DeadlineExceeded),
		}
		jitney.Subscribe(b, "s", func(_ context.Context, f fact) error {
			if f.N == len(errs) {
				panic("x")
			}
			return errs[f.N]
		}, jitney.WithDeadLetters(letters))
		for n := range len(errs) + 1 {
			require.NoError(t, b.Publish(t.Context(), fact{N: n}))
		}
		require.NoError(t, b.Flush(t.Context()))
		list, err := letters.List(t.Context(), jitney.DeadLetterFilter{})
		require.NoError(t, err)
		var classes []string
		for _, l := range list {
			classes = append(classes, l.Class())
		}
		want := []string{"*errors.errorString", "*jitney.PublishError", "context.deadlineExceededError", "*jitney.PanicError"}
		assert.Equal(t, want, classes)
		n, err := letters.Count(t.Context(), jitney.DeadLetterFilter{Class: "*jitney.PanicError"})
		require.NoError(t, err)
		assert.Equal(t, 1, n)
	})
}

// A queue comes to a standstill also when the last of what had come in joins a lane that a full parking blocks.
func TestShutdownNoticesAStandstillThatComesInLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(silent)
		jitney.Subscribe(b, "strict", func(_ context.Context, f fact) error {
			if f.Key == "slow" {
				time.Sleep(time.Second)
				return nil
			}
			return jitney.Permanent(errBoom)
		}, jitney.WithWorkers(1), jitney.WithDeadLetters(&jitney.MemoryDeadLetters{}), jitney.WithParking(1))
		for n := range 3 { // the first dies, the second is parked, the third blocks the lane
			require.NoError(t, b.Publish(t.Context(), fact{Key: "bad", N: n}))
		}
		synctest.Wait()
		require.NoError(t, b.Publish(t.Context(), fact{Key: "slow"}))
		synctest.Wait() // it runs
		require.NoError(t, b.Publish(t.Context(), fact{Key: "bad", N: 3}))
		begin := time.Now()
		err := b.Shutdown(context.Background())
		require.ErrorIs(t, err, jitney.ErrHeldBack)
		assert.Equal(t, time.Second, time.Since(begin))
	})
}

func TestWhatIsParkedOnAJournalStaysParkedAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, fair := range []bool{false, true} {
			j := jitneytest.NewMemoryJournal(known())
			b := jitney.New(silent, jitney.WithJournal(j))
			opts := []jitney.SubscribeOption{jitney.WithWorkers(2)}
			if fair {
				opts = append(opts, jitney.WithFairShare(jitney.FairShare{By: func(*jitney.Envelope) string { return "all" }}))
			}
			s := newStrict(b, 100, opts...)
			s.bad[1], s.bad[3] = true, true
			s.publish(t, 1, "a", "b", "", "")
			s.publish(t, 5, "a", "b", "", "a")
			assert.Equal(t, []string{"b2", "b6"}, s.got)
			assert.Len(t, s.Parked(), 2)
			require.NoError(t, b.Shutdown(t.Context()), "the journal has it")
			letters := s.letters

			j.Crash(known())
			b = jitney.New(silent, jitney.WithJournal(j))
			s = newStrict(b, 100, append(opts, jitney.WithDeadLetters(letters))...)
			s.letters = letters
			s.publish(t, 9, "a", "b")
			assert.Equal(t, []string{"b10"}, s.got)
			assert.Len(t, s.Parked(), 2)
			assert.Equal(t, 5, s.Stats().Parked)
			s.redeliver(t)
			s.redeliver(t)
			require.NoError(t, b.Flush(t.Context()))
			assert.ElementsMatch(t, []string{"b10", "a1", "a5", "a8", "a9", "3", "4", "7"}, s.got)
			for _, order := range [][]string{{"a1", "a5", "a8", "a9"}, {"3", "4", "7"}} {
				assert.Equal(t, order, slices.DeleteFunc(slices.Clone(s.got), func(got string) bool { return !slices.Contains(order, got) }))
			}
			assert.Zero(t, s.Stats().Unaccounted())
			require.NoError(t, b.Shutdown(t.Context()))
		}
	})
}

func TestWhatDiedWhenTheProcessDidIsNotParkedBehindItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := jitneytest.NewMemoryJournal(known())
		b := jitney.New(silent, jitney.WithJournal(deaf{j}))
		s := newStrict(b, 100, jitney.WithWorkers(2))
		s.bad[1] = true
		s.publish(t, 1, "a", "a")
		require.NoError(t, b.Shutdown(t.Context()))
		letters := s.letters

		j.Crash(known())
		b = jitney.New(silent, jitney.WithJournal(j))
		s = newStrict(b, 100, jitney.WithWorkers(2), jitney.WithDeadLetters(letters))
		s.letters = letters
		require.NoError(t, b.Flush(t.Context()))
		assert.Empty(t, s.got)
		s.redeliver(t)
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []string{"a1", "a2"}, s.got)
		require.NoError(t, b.Shutdown(t.Context()))
	})
}
