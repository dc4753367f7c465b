package jitney_test

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"runtime"
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

func TestG1Accounting(t *testing.T) {
	b := jitney.New(silent)
	steps := []error{nil, errBoom, jitney.Skip(nil), jitney.Permanent(errBoom), nil}
	var n atomic.Int64
	handler := func(context.Context, fact) error {
		i := n.Add(1)
		if i%97 == 0 {
			panic("boom")
		}
		return steps[i%int64(len(steps))]
	}
	retry := jitney.WithRetry(jitney.Retry{Attempts: 3, Base: time.Microsecond, Max: time.Millisecond})
	jitney.Subscribe(b, "lane", handler, retry)
	jitney.Subscribe(b, "keys", handler, retry, jitney.WithWorkers(4))
	jitney.Subscribe(b, "drops", handler, retry, jitney.WithBuffer(4), jitney.WithOverflow(jitney.DropOldest))
	jitney.Subscribe(b, "rejects", handler, jitney.WithBuffer(4), jitney.WithOverflow(jitney.Reject))
	jitney.Subscribe(b, "sync", handler, jitney.WithSync())

	var publishers, sampler sync.WaitGroup
	for p := range 8 {
		publishers.Go(func() {
			for i := range 500 {
				_ = b.Publish(context.Background(), fact{fmt.Sprint(i % 7), p, i}) // rejects is full at times
			}
		})
	}
	done := make(chan struct{})
	samples := 0
	sampler.Go(func() {
		for {
			for _, s := range b.Subscriptions() {
				st := s.Stats()
				assert.Zero(t, st.Unaccounted(), "%s: %+v", s.Name(), st)
				samples++
			}
			select {
			case <-done:
				return
			default:
				runtime.Gosched()
			}
		}
	})
	publishers.Wait()
	require.NoError(t, b.Flush(context.Background()))
	close(done)
	sampler.Wait()
	for _, s := range b.Subscriptions() {
		st := s.Stats()
		assert.Equal(t, uint64(4000), st.Accepted+st.Refused, s.Name())
		assert.Zero(t, st.Queued+st.Running+st.Waiting, s.Name())
	}
	require.NoError(t, b.Shutdown(context.Background()))
	t.Logf("%d snapshots, all balanced", samples)
}

func TestG16NothingSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logged
		b := jitney.New(jitney.WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
		touched := make(map[string]bool)
		check := func(counter, line string, mentions ...string) {
			t.Helper()
			touched[counter] = true
			if line != "" {
				l := log.line(line)
				require.NotEmpty(t, l, line)
				for _, m := range mentions {
					assert.Contains(t, l, m)
				}
			}
			if f := reflect.ValueOf(b.Stats().Stats).FieldByName(counter); f.IsValid() {
				assert.False(t, f.IsZero(), counter)
			}
		}
		require.NoError(t, b.Publish(t.Context(), fact{}))
		assert.Equal(t, map[string]uint64{"test.fact": 1}, b.Stats().Unheard)
		check("Unheard", "nobody has subscribed", "test.fact")

		open := make(chan struct{})
		jitney.Subscribe(b, "drops", func(context.Context, fact) error { <-open; return nil },
			jitney.WithBuffer(1), jitney.WithOverflow(jitney.DropOldest))
		for range 3 {
			require.NoError(t, b.Publish(t.Context(), fact{}))
			synctest.Wait()
		}
		check("Accepted", "")
		check("Queued", "")
		check("Running", "")
		check("Oldest", "")
		check("Dropped", "delivery dropped", "test.fact", "drops", "stats_test.go")
		time.Sleep(time.Minute)
		check("Slow", "handler is slow", "test.fact", "drops", "stats_test.go")
		close(open)
		require.NoError(t, b.Flush(t.Context()))
		check("Handled", "")

		inbox := &jitney.MemoryInbox{}
		var kept *jitney.Envelope
		jitney.Subscribe(b, "late", func(ctx context.Context, _ other) error {
			kept = jitney.FromContext(ctx).Envelope
			time.Sleep(time.Second)
			return nil
		}, jitney.WithTimeout(time.Millisecond), jitney.WithIdempotency(inbox))
		require.NoError(t, b.Publish(t.Context(), other{}))
		require.NoError(t, b.Flush(t.Context()))
		check("Late", "")
		require.NoError(t, b.Forward(t.Context(), kept, "late"))
		require.NoError(t, b.Flush(t.Context()))
		check("Skipped", "skipped", "test.other", "late")
		check("Duplicates", "duplicate=true", "test.other", "late")

		jitney.Subscribe(b, "dies", func(context.Context, moody) error { return errBoom },
			jitney.WithRetry(jitney.Retry{Attempts: 2, Base: time.Hour, Jitter: jitney.NoJitter}),
			jitney.WithDeadLetters(&failingStore{fails: 1}),
			jitney.WithBuffer(1), jitney.WithOverflow(jitney.Reject))
		require.NoError(t, b.Publish(t.Context(), moody{}))
		synctest.Wait()
		check("Waiting", "")
		require.ErrorIs(t, b.Publish(t.Context(), moody{}), jitney.ErrQueueFull)
		check("Refused", "")
		require.NoError(t, b.Flush(t.Context()))
		check("Retried", "")
		check("Dead", "jitney: dead letter", "test.moody", "dies", "boom", "stats_test.go")
		check("StoreErrors", "dead letter not stored", "test.moody", "dies")

		down := true
		guarded := jitney.Subscribe(b, "guarded", func(_ context.Context, l load) error {
			if l.N == 0 {
				return jitney.Permanent(errBoom)
			}
			if down {
				return errBoom
			}
			return nil
		}, jitney.WithBreaker(jitney.Breaker{Failures: 1}), jitney.WithParking(1), jitney.WithDeadLetters(&jitney.MemoryDeadLetters{}))
		for n := range 2 {
			require.NoError(t, b.Publish(t.Context(), load{Key: "k", N: n}))
		}
		require.NoError(t, b.Flush(t.Context()))
		check("Parked", "parks_its_key=true", "test.load", "guarded")
		require.NoError(t, b.Publish(t.Context(), load{Key: "k", N: 2}))
		synctest.Wait()
		check("Parked", "parking full", "test.load", "guarded", "stats_test.go")
		require.NoError(t, b.Discard(t.Context(), jitney.DeadLetter{ID: guarded.Parked()[0].Letter, Subscriber: "guarded"}))
		synctest.Wait()
		check("Spared", "")
		check("Opened", "")
		check("Breaker", "breaker open", "guarded", "boom")
		guarded.Pause()
		check("Paused", "subscription paused", "guarded", "stats_test.go")
		down = false
		guarded.Resume()
		check("", "subscription resumed", "guarded", "stats_test.go")

		_, err := jitney.Ask(t.Context(), b, double{})
		require.ErrorIs(t, err, jitney.ErrNoAnswer)
		assert.EqualValues(t, 1, b.Stats().Unanswered)
		check("Unanswered", "nobody answers", "double", "stats_test.go")
		jitney.Answer(b, "fails", func(context.Context, double) (int, error) { return 0, errBoom })
		_, err = jitney.Ask(t.Context(), b, double{})
		require.ErrorIs(t, err, errBoom)
		check("Failed", "")
		jitney.Subscribe(b, "picky", func(_ context.Context, s *shared) error { return nil }, jitney.WithFilter(func(s *shared) bool { return s.text[0] == 'a' }))
		require.NoError(t, b.Publish(t.Context(), &shared{"b"}, &shared{}))
		check("Filtered", "")
		check("FilterErrors", "filter failed", "test.shared", "picky", "stats_test.go")

		require.NoError(t, b.Shutdown(t.Context()))
		require.ErrorIs(t, b.Publish(t.Context(), fact{}), jitney.ErrClosed)
		assert.EqualValues(t, 1, b.Stats().TooLate)
		check("TooLate", "refused after shutdown", "fact", "stats_test.go")

		b = jitney.New(jitney.WithLogger(slog.New(slog.NewTextHandler(&log, nil))), jitney.WithJournal(jitneytest.NewMemoryJournal(wire.NewTypes())))
		jitney.Subscribe(b, "old-binary", func(context.Context, fact) error { return nil })
		require.NoError(t, b.Publish(t.Context(), fact{}))
		require.NoError(t, b.Flush(t.Context()))
		check("Unknown", "put aside", "test.fact", "old-binary")
		require.NoError(t, b.Shutdown(t.Context()))

		b = jitney.New(jitney.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		b.Recur("each minute", jitney.Every(time.Minute), func(time.Time) jitney.Event { return fact{} })
		b.Recur("never", jitney.Every(time.Minute), func(time.Time) jitney.Event { return nil })
		time.Sleep(90 * time.Second)
		id, err := b.Schedule(t.Context(), time.Now().Add(time.Hour), fact{})
		require.NoError(t, err)
		require.NoError(t, b.Unschedule(t.Context(), id))
		later := b.Stats()
		assert.Equal(t, []uint64{3, 1, 1}, []uint64{later.Scheduled, later.Unscheduled, later.Due})
		check("Scheduled", "")
		check("Unscheduled", "")
		check("Due", "")
		assert.EqualValues(t, 2, later.LeftOut)
		check("LeftOut", "occurrence left out", "never", "event is nil")
		require.NoError(t, b.Shutdown(t.Context()))

		shared := newSharedJournal()
		b = jitney.New(jitney.WithLogger(slog.New(slog.NewTextHandler(&log, nil))), jitney.WithJournal(shared))
		jitney.Subscribe(b, "shares", func(context.Context, fact) error { return nil }).Pause()
		require.NoError(t, b.Publish(t.Context(), fact{}))
		synctest.Wait()
		_, err = shared.takeBack(t.Context())
		require.NoError(t, err)
		check("Recalled", "deliveries recalled", "shares")
		require.NoError(t, b.Shutdown(t.Context()))

		b = jitney.New(jitney.WithLogger(slog.New(slog.NewTextHandler(&log, nil))), jitney.WithRetained[fact](1))
		require.NoError(t, b.Publish(t.Context(), fact{Key: "a"}, fact{Key: "b"}))
		assert.Equal(t, 1, b.Stats().Retained)
		check("Retained", "")
		assert.EqualValues(t, 1, b.Stats().Forgotten)
		check("Forgotten", "forgotten", "test.fact")
		require.NoError(t, b.Shutdown(t.Context()))

		for _, typ := range []reflect.Type{reflect.TypeFor[jitney.Stats](), reflect.TypeFor[jitney.BusStats]()} {
			for f := range typ.Fields() {
				assert.True(t, touched[f.Name] || f.Anonymous, "counter %s has no test here", f.Name)
			}
		}
	})
}
