package jitney_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
)

// What may come a bus's way, and is no promise's own test. Events that cannot be encoded, headers that are
// too large and crashes have no part in the bus in memory.

// odd is an event whose name and key are whatever they are.
type odd struct{ name, key string }

func (o odd) EventType() string { return o.name }
func (o odd) EventKey() string  { return o.key }

func TestNamesThatAreNoneAreRefused(t *testing.T) {
	for what, name := range map[string]string{
		"empty": "", "10 kB": strings.Repeat("x", 10_000), "control character": "a\x00b",
		"line feed": "a\nb", "space": "a b", "not UTF-8": "a\xff", "bidi": "a\u202eb",
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *jitney.Bus) {
				err := b.Publish(t.Context(), odd{name: name})
				require.ErrorIs(t, err, jitney.ErrInvalidName)
				assert.Less(t, len(err.Error()), 500)
			})
		})
	}
}

func TestANameThatChangesIsAConflict(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		require.NoError(t, b.Publish(t.Context(), odd{name: "one"}))
		require.ErrorIs(t, b.Publish(t.Context(), odd{name: "two"}), jitney.ErrTypeConflict)
	})
}

func TestKeysAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		require.NoError(t, b.Publish(t.Context(), odd{"odd", strings.Repeat("\xff", 1024)}))
		require.ErrorIs(t, b.Publish(t.Context(), odd{"odd", strings.Repeat("k", 1025)}), jitney.ErrKeyTooLarge)
	})
}

type version struct{ v int }

func (version) EventType() string   { return "test.version" }
func (v version) EventVersion() int { return v.v }

func TestVersionsBeginAtOne(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		var got []int
		jitney.Subscribe(b, "all", func(ctx context.Context, _ jitney.Event) error {
			got = append(got, jitney.FromContext(ctx).Version)
			return nil
		})
		require.NoError(t, b.Publish(t.Context(), version{3}, fact{}))
		require.Error(t, b.Publish(t.Context(), version{0}))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []int{3, 1}, got)
	})
}

func TestAContextThatHasEndedPublishesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s := jitney.Subscribe(b, "s", ignore)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, b.Publish(ctx, fact{}, fact{}), context.Canceled)
		assert.Zero(t, s.Stats().Accepted)
		assert.Panics(t, func() { _ = b.Publish(nil, fact{}) }) //nolint:staticcheck // that is the test
	})
}

func TestAPublisherThatGivesUpWaitingIsToldWhoWasFull(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		open := make(chan struct{})
		full := jitney.Subscribe(b, "full", func(context.Context, fact) error { <-open; return nil }, jitney.WithBuffer(1))
		free := jitney.Subscribe(b, "free", ignore)
		for range 2 {
			require.NoError(t, b.Publish(t.Context(), fact{}))
			synctest.Wait()
		}
		why := errors.New("the request has gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() { time.Sleep(time.Second); cancel(why) }()
		err := b.Publish(ctx, fact{}, fact{}) // the second comes too late for everybody
		require.ErrorIs(t, err, why)
		require.ErrorIs(t, err, jitney.ErrQueueFull)
		assert.EqualValues(t, 2, full.Stats().Accepted)
		assert.EqualValues(t, 3, free.Stats().Accepted)
		close(open)
	})
}

func TestAHookThatRefusesKeepsTheWholePublishBack(t *testing.T) {
	no := errors.New("no")
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s := jitney.Subscribe(b, "all", func(context.Context, jitney.Event) error { return nil })
		require.ErrorIs(t, b.Publish(t.Context(), fact{}, other{}), no)
		assert.Zero(t, s.Stats().Accepted)
	}, jitney.WithPublishHook(func(_ context.Context, env *jitney.Envelope) error {
		if env.Type == "test.other" {
			return no
		}
		return nil
	}))
}

func TestPublishRacingShutdownIsAcceptedOrRefused(t *testing.T) {
	for range 300 {
		b := jitney.New(silent)
		s := jitney.Subscribe(b, "s", ignore, jitney.WithBuffer(2))
		var mu sync.Mutex
		accepted := uint64(0)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for range 5 {
					err := b.Publish(context.Background(), fact{})
					if err == nil {
						mu.Lock()
						accepted++
						mu.Unlock()
					} else {
						assert.ErrorIs(t, err, jitney.ErrClosed)
					}
				}
			})
		}
		require.NoError(t, b.Shutdown(context.Background()))
		wg.Wait()
		assert.Equal(t, accepted, s.Stats().Handled)
	}
}

func TestAMutexHeldWhilePublishingIsNamedNotHungFor(t *testing.T) {
	var log logged
	b := jitney.New(jitney.WithPublishTimeout(500*time.Millisecond), jitney.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	var mu sync.Mutex
	jitney.Subscribe(b, "wants-the-lock", func(context.Context, fact) error {
		mu.Lock()
		defer mu.Unlock()
		return nil
	}, jitney.WithBuffer(1), jitney.WithSlowAfter(10*time.Millisecond))
	mu.Lock()
	var err error
	for range 3 { // a mutex is no durable block, so this cannot be in a bubble
		err = errors.Join(err, b.Publish(context.Background(), fact{}))
	}
	mu.Unlock()
	require.ErrorIs(t, err, jitney.ErrQueueFull)
	require.NoError(t, b.Shutdown(context.Background()))
	assert.Contains(t, log.line("publisher waits"), "catalogue_test.go")
}

func TestIDsOfManyPublishersAreUniqueAndRise(t *testing.T) {
	const publishers, each = 8, 20_000
	b := jitney.New(silent)
	seen := make([][]uuid.UUID, publishers)
	jitney.Subscribe(b, "s", func(ctx context.Context, f fact) error {
		seen[f.From] = append(seen[f.From], jitney.FromContext(ctx).ID)
		return nil
	})
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for range each {
				assert.NoError(t, b.Publish(context.Background(), fact{From: p}))
			}
		})
	}
	wg.Wait()
	require.NoError(t, b.Shutdown(context.Background()))
	unique := make(map[uuid.UUID]bool)
	for _, ids := range seen {
		assert.True(t, slices.IsSortedFunc(ids, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) }))
		for _, id := range ids {
			unique[id] = true
		}
	}
	assert.Len(t, unique, publishers*each)
}

func TestMiddlewareIsKeptToItsContract(t *testing.T) {
	var second, foreign error
	twice := func(next jitney.Handler) jitney.Handler {
		return func(ctx context.Context, e jitney.Event) error {
			err := next(ctx, e)
			second = next(ctx, e)
			return err
		}
	}
	swap := func(next jitney.Handler) jitney.Handler {
		return func(_ context.Context, e jitney.Event) error {
			foreign = next(context.Background(), e)
			return foreign
		}
	}
	other := func(next jitney.Handler) jitney.Handler {
		return func(ctx context.Context, _ jitney.Event) error { return next(ctx, version{}) }
	}
	mute := func(jitney.Handler) jitney.Handler {
		return func(context.Context, jitney.Event) error { return nil }
	}
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		calls := 0
		handler := func(context.Context, fact) error { calls++; return nil }
		jitney.Subscribe(b, "twice", handler, jitney.WithMiddleware(twice))
		s := jitney.Subscribe(b, "swap", handler, jitney.WithMiddleware(swap))
		o := jitney.Subscribe(b, "other", handler, jitney.WithMiddleware(other))
		m := jitney.Subscribe(b, "mute", handler, jitney.WithMiddleware(mute))
		require.NoError(t, b.Publish(t.Context(), fact{}))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, 1, calls)
		assert.Equal(t, jitney.ErrCalledTwice, second)
		assert.Equal(t, jitney.ErrForeignContext, foreign)
		assert.EqualValues(t, 1, s.Stats().Dead)
		assert.EqualValues(t, 1, o.Stats().Dead, "an event of another type")
		assert.EqualValues(t, 1, m.Stats().Handled, "a middleware may handle the event itself")
	})
}

func TestWhatAnErrorSaysHasARank(t *testing.T) {
	for what, c := range map[string]struct {
		err           error
		skipped, dead uint64
		calls         int
	}{
		"skip in permanent":        {jitney.Permanent(jitney.Skip(errBoom)), 1, 0, 1},
		"permanent in skip":        {jitney.Skip(jitney.Permanent(errBoom)), 1, 0, 1},
		"permanent in retry after": {jitney.RetryAfter(time.Second, jitney.Permanent(errBoom)), 0, 1, 1},
		"joined":                   {errors.Join(errBoom, fmt.Errorf("wrapped: %w", jitney.Permanent(errBoom))), 0, 1, 1},
		"negative retry after":     {jitney.RetryAfter(-time.Hour, errBoom), 0, 1, 3},
		"endless retry after":      {jitney.RetryAfter(math.MaxInt64, errBoom), 0, 1, 1},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *jitney.Bus) {
				calls := 0
				s := jitney.Subscribe(b, "s", func(context.Context, fact) error { calls++; return c.err },
					jitney.WithRetry(jitney.Retry{Attempts: 3, MaxElapsed: time.Hour}))
				require.NoError(t, b.Publish(t.Context(), fact{}))
				require.NoError(t, b.Flush(t.Context()))
				assert.Equal(t, c.calls, calls)
				assert.Equal(t, c.skipped, s.Stats().Skipped)
				assert.Equal(t, c.dead, s.Stats().Dead)
			})
		})
	}
	assert.NoError(t, jitney.Permanent(nil))
	assert.NoError(t, jitney.RetryAfter(time.Second, nil))
}

func TestCloseListsWhatItsDeadlineLeaves(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		calls := 0
		s := jitney.Subscribe(b, "s", func(context.Context, fact) error { calls++; return errBoom },
			jitney.WithRetry(jitney.Retry{Base: time.Hour, Max: time.Hour, Jitter: jitney.NoJitter}))
		require.NoError(t, b.Publish(t.Context(), fact{N: 1}, fact{N: 2}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		left, ok := errors.AsType[*jitney.UnhandledError](s.Close(ctx))
		require.True(t, ok)
		require.Len(t, left.Unhandled, 2)
		assert.Equal(t, 1, left.Unhandled[0].Attempts)
		require.ErrorIs(t, left.Unhandled[0].Err, errBoom)
		time.Sleep(2 * time.Hour)
		assert.Equal(t, 1, calls, "its timer is stopped")
		jitney.Subscribe(b, "s", ignore) // the name is free again
	})
}

func TestRetriesOfManyDoNotComeTogether(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		begin := time.Now()
		perSecond := make(map[int]int)
		jitney.Subscribe(b, "s", func(ctx context.Context, f fact) error {
			if jitney.FromContext(ctx).Attempt == 1 {
				return errBoom
			}
			perSecond[int(time.Since(begin)/time.Second)]++
			return nil
		}, jitney.WithWorkers(1), jitney.WithBuffer(5000),
			jitney.WithRetry(jitney.Retry{Base: 30 * time.Second, Max: 30 * time.Second}))
		const events = 3000
		for i := range events {
			require.NoError(t, b.Publish(t.Context(), fact{Key: fmt.Sprint(i)}))
		}
		require.NoError(t, b.Flush(t.Context()))
		for second, n := range perSecond {
			assert.Less(t, n, 2*events/30, "second %d", second)
		}
	})
}

func TestAFullLetterStoreHoldsItsLane(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		letters := &jitney.MemoryDeadLetters{Limit: 1}
		s := jitney.Subscribe(b, "s", func(context.Context, fact) error { return errBoom }, jitney.WithDeadLetters(letters))
		require.NoError(t, b.Publish(t.Context(), fact{N: 1}, fact{N: 2}, fact{N: 3}))
		synctest.Wait()
		assert.EqualValues(t, 1, s.Stats().Dead)
		assert.Equal(t, 1, s.Stats().Waiting)
		assert.Equal(t, 1, s.Stats().Queued)
		for range 3 {
			list, err := letters.List(t.Context(), jitney.DeadLetterFilter{})
			require.NoError(t, err)
			require.Len(t, list, 1)
			require.NoError(t, letters.Remove(t.Context(), list[0].ID))
			time.Sleep(time.Minute)
		}
		assert.EqualValues(t, 3, s.Stats().Dead)
	})
}

func TestALetterWithoutItsSubscriberStays(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		letters := &jitney.MemoryDeadLetters{}
		s := jitney.Subscribe(b, "s", func(context.Context, fact) error { return errBoom }, jitney.WithDeadLetters(letters))
		require.NoError(t, b.Publish(t.Context(), fact{}))
		require.NoError(t, s.Close(t.Context()))
		list, err := letters.List(t.Context(), jitney.DeadLetterFilter{})
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.ErrorIs(t, b.Redeliver(t.Context(), list[0]), jitney.ErrNoSubscription)
		jitney.Subscribe(b, "s", func(context.Context, other) error { return nil }, jitney.WithDeadLetters(letters))
		require.ErrorIs(t, b.Redeliver(t.Context(), list[0]), jitney.ErrTypeConflict)
		n, err := letters.Count(t.Context(), jitney.DeadLetterFilter{})
		require.NoError(t, err)
		assert.Equal(t, 1, n)
	})
}

// brokenInbox is down for so many calls.
type brokenInbox struct {
	jitney.MemoryInbox
	down int
}

func (in *brokenInbox) Run(ctx context.Context, key jitney.InboxKey, handle func(context.Context) error) error {
	if in.down--; in.down >= 0 {
		return errors.New("inbox is down")
	}
	return in.MemoryInbox.Run(ctx, key, handle)
}

func TestAnInboxThatIsDownUsesUpNoAttempt(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s := jitney.Subscribe(b, "s", func(ctx context.Context, _ fact) error {
			assert.Equal(t, 1, jitney.FromContext(ctx).Attempt)
			return nil
		}, jitney.WithIdempotency(&brokenInbox{down: 7}))
		require.NoError(t, b.Publish(t.Context(), fact{}))
		require.NoError(t, b.Flush(t.Context()))
		st := s.Stats()
		assert.EqualValues(t, 1, st.Handled)
		assert.EqualValues(t, 7, st.StoreErrors)
		assert.Zero(t, st.Retried)
	})
}

func TestOneInboxKeepsSubscribersApart(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		inbox := jitney.WithIdempotency(&jitney.MemoryInbox{})
		first := jitney.Subscribe(b, "first", ignore, inbox)
		second := jitney.Subscribe(b, "second", ignore, inbox)
		require.NoError(t, b.Publish(t.Context(), fact{}))
		require.NoError(t, b.Flush(t.Context()))
		assert.EqualValues(t, 1, first.Stats().Handled)
		assert.EqualValues(t, 1, second.Stats().Handled)
	})
}

// badLog panics.
type badLog struct{ slog.Handler }

func (badLog) Enabled(context.Context, slog.Level) bool { panic("logger panics") }

func TestALoggerThatPanicsHurtsNobody(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s := jitney.Subscribe(b, "s", func(context.Context, fact) error { return errBoom })
		require.NoError(t, b.Publish(t.Context(), fact{}, other{}))
		require.NoError(t, b.Flush(t.Context()))
		assert.EqualValues(t, 1, s.Stats().Dead)
	}, jitney.WithLogger(slog.New(badLog{})))
}

func TestSubscribingAfterShutdownIsClosed(t *testing.T) {
	b := jitney.New(silent)
	require.NoError(t, b.Shutdown(t.Context()))
	s := jitney.Subscribe(b, "late", ignore)
	require.NoError(t, s.Close(t.Context()))
	require.ErrorIs(t, b.Publish(t.Context(), fact{}), jitney.ErrClosed)
}

func TestForwardSaysWhatAnEnvelopeLacks(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s := jitney.Subscribe(b, "s", ignore)
		whole := jitney.Envelope{ID: uuid.New(), Type: "test.fact", Version: 1, Time: time.Now(), Correlation: "c", Event: fact{}}
		for what, spoil := range map[string]func(*jitney.Envelope){
			"ID": func(e *jitney.Envelope) { e.ID = uuid.Nil }, "type": func(e *jitney.Envelope) { e.Type = "x" },
			"version": func(e *jitney.Envelope) { e.Version = 0 }, "time": func(e *jitney.Envelope) { e.Time = time.Time{} },
		} {
			bad := whole
			spoil(&bad)
			require.ErrorIs(t, b.Forward(t.Context(), &bad), jitney.ErrInvalidEnvelope, what)
		}
		require.ErrorIs(t, b.Forward(t.Context(), nil), jitney.ErrInvalidEnvelope)
		require.ErrorIs(t, b.Forward(t.Context(), &whole, "nobody"), jitney.ErrNoSubscription)
		require.NoError(t, b.Forward(t.Context(), &whole))
		require.NoError(t, b.Flush(t.Context()))
		assert.EqualValues(t, 1, s.Stats().Handled)
	})
}

func TestCloseAfterAForcedShutdownReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(silent)
		letters := &jitney.MemoryDeadLetters{}
		s := jitney.Subscribe(b, "s", func(ctx context.Context, f fact) error {
			if f.N == 0 {
				return jitney.Permanent(errBoom)
			}
			return errBoom
		}, jitney.WithDeadLetters(letters), jitney.WithRetry(jitney.Retry{Base: time.Hour, Max: time.Hour, Jitter: jitney.NoJitter}))
		require.NoError(t, b.Publish(t.Context(), fact{N: 0}, fact{N: 1}))
		synctest.Wait()
		list, err := letters.List(t.Context(), jitney.DeadLetterFilter{})
		require.NoError(t, err)
		require.Len(t, list, 1)
		redelivered := make(chan error)
		go func() { redelivered <- b.Redeliver(t.Context(), list[0]) }()
		synctest.Wait() // it stands behind the event that waits
		closed := make(chan error)
		go func() { closed <- s.Close(t.Context()) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, b.Shutdown(ctx), jitney.ErrDeadline)
		require.ErrorIs(t, <-redelivered, jitney.ErrDeadline)
		require.ErrorIs(t, <-closed, jitney.ErrClosed, "its own context has not ended")
		_, err = letters.Get(t.Context(), list[0].ID)
		require.NoError(t, err, "the letter is still there")
	})
}

func TestARetryThatIsDueBeforeTheDeadlineStillRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(silent)
		s := jitney.Subscribe(b, "s", func(ctx context.Context, _ fact) error {
			if jitney.FromContext(ctx).Attempt < 3 {
				return errBoom
			}
			return nil
		}, jitney.WithRetry(jitney.Retry{Base: time.Second, Max: time.Second, Jitter: jitney.NoJitter}))
		require.NoError(t, b.Publish(t.Context(), fact{}))
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		require.NoError(t, b.Shutdown(ctx))
		assert.EqualValues(t, 1, s.Stats().Handled)
	})
}

func TestEventsWithoutAKeyWaitBehindOneThatFails(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		var got []int
		jitney.Subscribe(b, "s", func(ctx context.Context, e other) error {
			got = append(got, e.N)
			if e.N == 1 && jitney.FromContext(ctx).Attempt < 3 {
				return errBoom
			}
			return nil
		}, jitney.WithWorkers(4), jitney.WithRetry(jitney.Retry{}))
		require.NoError(t, b.Publish(t.Context(), other{1}, other{2}))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []int{1, 1, 1, 2}, got)
	})
}

func TestTenThousandSubscriptions(t *testing.T) {
	b := jitney.New(silent)
	for i := range 10_000 {
		jitney.Subscribe(b, fmt.Sprint("s", i), ignore, jitney.WithSync())
	}
	require.NoError(t, b.Publish(t.Context(), fact{}))
	assert.EqualValues(t, 10_000, b.Stats().Handled)
	require.NoError(t, b.Publish(t.Context(), other{}))
	assert.EqualValues(t, 10_000, b.Stats().Handled)
	require.NoError(t, b.Shutdown(t.Context()))
}
