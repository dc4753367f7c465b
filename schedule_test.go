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

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/jitneytest"
)

// diary writes down when what was handled.
type diary struct {
	begin time.Time
	mu    sync.Mutex
	lines []string
}

func newDiary() *diary { return &diary{begin: time.Now()} }

func (d *diary) handle(ctx context.Context, f fact) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	env := jitney.FromContext(ctx).Envelope
	line := fmt.Sprint(f.N, " at ", time.Since(d.begin))
	if late := time.Since(env.Time); late != 0 {
		line += fmt.Sprint(", ", late, " late")
	}
	d.lines = append(d.lines, line)
	return nil
}

func (d *diary) read() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.lines...)
}

func TestG39Later(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(silent)
		d := newDiary()
		jitney.Subscribe(b, "s", d.handle)
		at := func(after time.Duration, n int) uuid.UUID {
			id, err := b.Schedule(t.Context(), time.Now().Add(after), fact{N: n})
			require.NoError(t, err)
			return id
		}
		at(3*time.Hour, 3)
		at(time.Hour, 1)
		gone := at(90*time.Minute, 100)
		at(2*time.Hour, 2)
		at(2*time.Hour, 22)
		at(-time.Hour, 0)
		time.Sleep(time.Millisecond)
		assert.Equal(t, []string{"0 at 0s"}, d.read(), "what is past is published at once")
		list, err := b.Scheduled(t.Context(), 3)
		require.NoError(t, err)
		require.Len(t, list, 3)
		assert.Equal(t, d.begin.Add(time.Hour), list[0].At)
		assert.Equal(t, fact{N: 1}, list[0].Envelope.Event)
		assert.Equal(t, gone, list[1].ID)
		require.NoError(t, b.Unschedule(t.Context(), gone))
		require.ErrorIs(t, b.Unschedule(t.Context(), gone), jitney.ErrNotScheduled)
		require.NoError(t, b.Flush(t.Context()), "Flush does not wait for it")
		time.Sleep(150 * time.Minute)
		assert.Equal(t, []string{"0 at 0s", "1 at 1h0m0s", "2 at 2h0m0s", "22 at 2h0m0s"}, d.read())

		err = b.Shutdown(t.Context())
		var left *jitney.UnhandledError
		require.ErrorAs(t, err, &left, "what is accepted is returned")
		require.ErrorIs(t, err, jitney.ErrHeldBack)
		require.Len(t, left.Unhandled, 1)
		assert.Equal(t, fact{N: 3}, left.Unhandled[0].Envelope.Event)
		assert.Equal(t, d.begin.Add(3*time.Hour), left.Unhandled[0].Due)
		assert.Contains(t, err.Error(), "scheduled for")
		assert.Contains(t, err.Error(), "not handled (parked, paused or scheduled)")
		_, err = b.Schedule(t.Context(), time.Now(), fact{})
		require.ErrorIs(t, err, jitney.ErrClosed)
	})
}

func TestWhatIsScheduledIsAnEffectOfWhatScheduledIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(silent, jitney.WithPublishHook(func(_ context.Context, env *jitney.Envelope) error {
			if f, ok := env.Event.(fact); ok && f.N < 0 {
				return errBoom
			}
			return nil
		}))
		type seen struct {
			cause, correlation string
		}
		var got []seen
		var first jitney.Delivery
		jitney.Subscribe(b, "s", func(ctx context.Context, f fact) error {
			d := jitney.FromContext(ctx)
			got = append(got, seen{fmt.Sprint(d.CausationID), d.CorrelationID()})
			if f.N == 1 {
				first = *d
				_, err := b.Schedule(ctx, time.Now().Add(time.Hour), fact{N: 2})
				return err
			}
			return nil
		})
		require.NoError(t, b.Publish(t.Context(), fact{N: 1}))
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		require.Len(t, got, 2)
		assert.Equal(t, fmt.Sprint(first.ID), got[1].cause)
		assert.Equal(t, got[0].correlation, got[1].correlation)
		for event, want := range map[jitney.Event]error{fact{N: -1}: errBoom, nil: jitney.ErrNilEvent} {
			_, err := b.Schedule(t.Context(), time.Now(), event)
			require.ErrorIs(t, err, want)
		}
		_, err := b.Schedule(t.Context(), time.Now().Add(time.Hour), unheard{})
		require.NoError(t, err, "nobody hears it yet")
		jitney.Subscribe(b, "late", func(context.Context, unheard) error { got = nil; return nil })
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.Nil(t, got)
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

type unheard struct{}

func (unheard) EventType() string { return "test.unheard" }

func TestWhatIsDueIsNotLostToAFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(silent)
		d, other := newDiary(), newDiary()
		release := make(chan struct{})
		jitney.Subscribe(b, "full", func(ctx context.Context, f fact) error {
			<-release
			return d.handle(ctx, f)
		}, jitney.WithBuffer(1), jitney.WithOverflow(jitney.Reject))
		jitney.Subscribe(b, "other", other.handle)
		jitney.Subscribe(b, "sync", func(context.Context, fact) error { return errBoom }, jitney.WithSync())
		for n := range 4 {
			_, err := b.Schedule(t.Context(), time.Now().Add(time.Second*time.Duration(n+1)), fact{N: n})
			require.NoError(t, err)
		}
		time.Sleep(time.Minute)
		assert.Len(t, other.read(), 4, "one that is full holds up nobody else, and what others have is not repeated")
		close(release)
		time.Sleep(2 * time.Minute)
		assert.Len(t, d.read(), 4)
		assert.Len(t, other.read(), 4)
		list, err := b.Scheduled(t.Context(), 10)
		require.NoError(t, err)
		assert.Empty(t, list)
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

func TestWhatIsDueAndRefusedAtShutdownIsReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(silent)
		release := make(chan struct{})
		jitney.Subscribe(b, "full", func(context.Context, fact) error { <-release; return nil },
			jitney.WithBuffer(1), jitney.WithOverflow(jitney.Reject))
		for n := range 3 {
			_, err := b.Schedule(t.Context(), time.Now().Add(time.Duration(n)*time.Second), fact{N: n})
			require.NoError(t, err)
		}
		time.Sleep(3 * time.Second)
		time.AfterFunc(time.Minute, func() { close(release) })
		err := b.Shutdown(t.Context())
		var left *jitney.UnhandledError
		require.ErrorAs(t, err, &left)
		require.Len(t, left.Unhandled, 1)
		assert.Equal(t, "full", left.Unhandled[0].Subscriber)
		assert.Equal(t, fact{N: 2}, left.Unhandled[0].Envelope.Event)
	})
}

func TestAScheduleOnAJournalOutlivesTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := jitneytest.NewMemoryJournal(known())
		d, ephemeral := newDiary(), newDiary()
		begin := func(names ...string) *jitney.Bus {
			b := jitney.New(silent, jitney.WithJournal(j))
			for _, name := range names {
				jitney.Subscribe(b, name, d.handle)
			}
			jitney.Subscribe(b, "ephemeral", ephemeral.handle, jitney.WithEphemeral())
			return b
		}
		b := begin("s")
		var ids []uuid.UUID
		for n := range 4 {
			id, err := b.Schedule(t.Context(), time.Now().Add(time.Hour*time.Duration(n+1)), fact{N: n})
			require.NoError(t, err)
			ids = append(ids, id)
		}
		time.Sleep(61 * time.Minute)
		require.NoError(t, b.Shutdown(t.Context()), "the journal has it")
		j.Crash(known())
		time.Sleep(time.Hour) // one becomes due while no process runs
		b = begin("s")
		b2 := begin() // two processes, and one of them has the durable subscriber
		require.NoError(t, b2.Unschedule(t.Context(), ids[3]))
		time.Sleep(2 * time.Hour)
		assert.Equal(t, []string{"0 at 1h0m0s", "1 at 2h1m1s, 1m1s late", "2 at 3h0m0s"}, d.read())
		assert.GreaterOrEqual(t, len(ephemeral.read()), 3)
		require.NoError(t, b.Shutdown(t.Context()))
		require.NoError(t, b2.Shutdown(t.Context()))
	})
}

// without is a journal that keeps no events for later.
type without struct{ jitney.Journal }

func TestScheduleOnAJournalThatCannotIsAnError(t *testing.T) {
	b := jitney.New(silent, jitney.WithJournal(without{jitneytest.NewMemoryJournal(known())}))
	_, err := b.Schedule(t.Context(), time.Now(), fact{})
	require.ErrorIs(t, err, jitney.ErrNoSchedule)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorIs(t, b.Unschedule(t.Context(), uuid.New()), jitney.ErrNoSchedule)
	_, err = b.Scheduled(t.Context(), 10)
	require.ErrorIs(t, err, jitney.ErrNoSchedule, "a program can ask when it starts")
	require.NoError(t, b.Shutdown(t.Context()))
}

// flagging is a journal whose Append fails for a while.
type flagging struct {
	*jitneytest.MemoryJournal
	down atomic.Bool
}

func (m *flagging) Append(ctx context.Context, envs ...*jitney.Envelope) error {
	if m.down.Load() {
		return errDown
	}
	return m.MemoryJournal.Append(ctx, envs...)
}

func TestWhatIsDueWaitsForAJournalThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &flagging{MemoryJournal: jitneytest.NewMemoryJournal(known())}
		b := jitney.New(silent, jitney.WithJournal(m))
		d := newDiary()
		jitney.Subscribe(b, "s", d.handle)
		for n := range 3 {
			_, err := b.Schedule(t.Context(), time.Now().Add(time.Hour), fact{N: n})
			require.NoError(t, err)
		}
		m.down.Store(true)
		time.Sleep(2 * time.Hour)
		assert.Empty(t, d.read())
		m.down.Store(false)
		time.Sleep(time.Minute)
		assert.Len(t, d.read(), 3)
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

func TestMemoryScheduleIsBounded(t *testing.T) {
	b := jitney.New(silent)
	var err error
	n := 0
	for ; err == nil && n < 200_000; n++ {
		_, err = b.Schedule(t.Context(), time.Now().Add(time.Hour), fact{N: n})
	}
	require.ErrorIs(t, err, jitney.ErrScheduleFull)
	var left *jitney.UnhandledError
	require.ErrorAs(t, b.Shutdown(t.Context()), &left)
	assert.Len(t, left.Unhandled, n-1)
}

func TestShutdownDoesNotWaitForADueEventsHandlerForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(silent, jitney.WithGrace(time.Second))
		release := make(chan struct{})
		jitney.Subscribe(b, "deaf", func(context.Context, fact) error { <-release; return nil }, jitney.WithSync())
		_, err := b.Schedule(t.Context(), time.Now(), fact{N: 1})
		require.NoError(t, err)
		synctest.Wait()
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var left *jitney.UnhandledError
		require.ErrorAs(t, b.Shutdown(ctx), &left)
		assert.Equal(t, time.Minute+time.Second, time.Since(begin))
		close(release)
	})
}

func TestATimeThatNanosecondsCannotTellIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		_, err := b.Schedule(t.Context(), time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC), fact{})
		require.ErrorIs(t, err, jitney.ErrInvalidEnvelope)
		assert.ErrorContains(t, err, "2300")
		d := newDiary()
		jitney.Subscribe(b, "s", d.handle)
		_, err = b.Schedule(t.Context(), time.Time{}, fact{N: 1})
		require.NoError(t, err)
		time.Sleep(time.Second)
		assert.Equal(t, []string{"1 at 0s"}, d.read(), "the past is now")
	})
}

func TestWhatIsDueWaitsForNobodyElsesQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(silent)
		release := make(chan struct{})
		stuck := jitney.Subscribe(b, "stuck", func(context.Context, other) error { <-release; return nil }, jitney.WithBuffer(1))
		d := newDiary()
		jitney.Subscribe(b, "s", d.handle)
		for range 5 {
			_, err := b.Schedule(t.Context(), time.Now().Add(time.Second), other{})
			require.NoError(t, err)
		}
		_, err := b.Schedule(t.Context(), time.Now().Add(2*time.Second), fact{N: 1})
		require.NoError(t, err)
		time.Sleep(time.Minute)
		assert.Equal(t, []string{"1 at 2s"}, d.read())
		close(release)
		time.Sleep(time.Minute)
		assert.EqualValues(t, 5, stuck.Stats().Handled, "they were tried again")
		require.NoError(t, b.Shutdown(t.Context()))
	})
}
