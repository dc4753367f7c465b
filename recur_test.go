package jitney_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/jitneytest"
)

// clockStruck collects the times of what a subscriber has handled.
type clockStruck struct {
	mu   sync.Mutex
	list []string
	ids  []uuid.UUID
}

func (c *clockStruck) handle(ctx context.Context, _ fact) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := jitney.FromContext(ctx)
	c.list, c.ids = append(c.list, d.Time.UTC().Format(time.TimeOnly)), append(c.ids, d.ID)
	return nil
}

func (c *clockStruck) times() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.list...)
}

func toTheMinute(at time.Time) jitney.Event { return fact{N: at.Minute()} }

func TestARecurringEventIsPublishedAtEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(silent)
		var c clockStruck
		jitney.Subscribe(b, "s", c.handle)
		time.Sleep(30 * time.Second)
		r := b.Recur("tick", jitney.Every(time.Minute), toTheMinute)
		time.Sleep(3 * time.Minute)
		assert.Equal(t, []string{"00:01:00", "00:02:00", "00:03:00"}, c.times())
		for _, id := range c.ids {
			assert.EqualValues(t, 8, id.Version())
			assert.Equal(t, uuid.RFC4122, id.Variant())
		}
		list, err := b.Scheduled(t.Context(), 10)
		require.NoError(t, err)
		require.Len(t, list, 1)
		assert.Equal(t, fact{N: 4}, list[0].Envelope.Event)
		require.NoError(t, r.Stop(t.Context()))
		require.NoError(t, r.Stop(t.Context()), "twice")
		time.Sleep(time.Hour)
		assert.Len(t, c.times(), 3)
		st := b.Stats()
		assert.Equal(t, []uint64{4, 1, 3}, []uint64{st.Scheduled, st.Unscheduled, st.Due})

		b.Recur("tick", jitney.Every(time.Minute), toTheMinute) // the name is free again
		synctest.Wait()
		_, err = b.Schedule(t.Context(), time.Now().Add(time.Hour), fact{N: 99})
		require.NoError(t, err)
		var left *jitney.UnhandledError
		require.ErrorAs(t, b.Shutdown(t.Context()), &left)
		require.Len(t, left.Unhandled, 1, "what Schedule has accepted, and nobody was promised the next minute")
		assert.Equal(t, fact{N: 99}, left.Unhandled[0].Envelope.Event)
	})
}

func TestG42Timetables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := jitneytest.NewMemoryJournal(known())
		start := func(source string) *jitney.Bus {
			b := jitney.New(silent, jitney.WithJournal(j), jitney.WithPublishHook(func(_ context.Context, env *jitney.Envelope) error {
				env.Headers = map[string]string{"by": source} // so that no two are the same
				return nil
			}))
			b.Recur("tick", jitney.Every(time.Minute), toTheMinute)
			return b
		}
		first, second := start("first"), start("second")
		time.Sleep(5*time.Minute + 30*time.Second)
		end, err := j.End(t.Context())
		require.NoError(t, err)
		assert.EqualValues(t, 5, end)
		assert.GreaterOrEqual(t, first.Stats().Due+second.Stats().Due, uint64(5), "both may have been as quick")
		require.NoError(t, first.Shutdown(t.Context()))
		require.NoError(t, second.Shutdown(t.Context()))
		j.Crash(known())

		time.Sleep(time.Hour) // 00:05:30 to 01:05:30
		third := start("third")
		var c clockStruck
		jitney.Subscribe(third, "s", c.handle, jitney.WithStart(jitney.FromBeginning()))
		time.Sleep(time.Minute)
		assert.Equal(t, []string{"00:01:00", "00:02:00", "00:03:00", "00:04:00", "00:05:00", "00:06:00", "01:06:00"}, c.times(),
			"the one that was scheduled, and none of those missed")
		require.NoError(t, third.Shutdown(t.Context()))
	})
}

func TestAPublishHookSeesWhatIsForLaterAsItWillBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen, heard []string
		b := jitney.New(silent, jitney.WithPublishHook(func(_ context.Context, env *jitney.Envelope) error {
			seen = append(seen, env.ID.String()+env.Time.String())
			return nil
		}))
		jitney.Subscribe(b, "s", func(ctx context.Context, _ fact) error {
			d := jitney.FromContext(ctx)
			heard = append(heard, d.ID.String()+d.Time.String())
			return nil
		})
		_, err := b.Schedule(t.Context(), time.Now().Add(30*time.Second), fact{})
		require.NoError(t, err)
		b.Recur("tick", jitney.Every(time.Minute), toTheMinute)
		time.Sleep(90 * time.Second)
		require.NoError(t, b.Shutdown(t.Context()))
		require.Len(t, heard, 2)
		assert.Equal(t, seen[:2], heard)
	})
}

// jumpy is a timetable that goes back at the third time.
type jumpy struct{ calls *int }

func (j jumpy) Next(t time.Time) time.Time {
	if *j.calls++; *j.calls == 3 {
		return t
	}
	return t.Add(time.Minute)
}

func TestWhatGoesWrongInARecurrence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logged
		b := jitney.New(jitney.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		var c clockStruck
		jitney.Subscribe(b, "s", c.handle)
		b.Recur("panics", jitney.Every(time.Minute), func(at time.Time) jitney.Event {
			if at.Minute() == 2 {
				panic("not at two")
			}
			return toTheMinute(at)
		})
		calls := 0
		b.Recur("jumps", jumpy{&calls}, func(time.Time) jitney.Event { return nil })
		b.Recur("ends", once{time.Now().Add(90 * time.Second)}, toTheMinute)
		time.Sleep(4*time.Minute + time.Second)
		assert.Equal(t, []string{"00:01:00", "00:01:30", "00:03:00", "00:04:00"}, c.times())
		assert.Contains(t, log.line("recurrence=panics"), "occurrence left out")
		assert.Contains(t, log.line("recurrence=jumps"), "event is nil")
		assert.Contains(t, log.line("does not go forward"), "recurrence=jumps")
		assert.Contains(t, log.line("recurrence=ends"), "recurrence has ended")
		for text, wire := range map[string]func(){
			"name, timetable and event func": func() { b.Recur("", jitney.Every(time.Minute), toTheMinute) },
			"the name is taken":              func() { b.Recur("panics", jitney.Every(time.Minute), toTheMinute) },
			"keeps no events for later": func() {
				jitney.New(silent, jitney.WithJournal(plainJournal{})).Recur("x", jitney.Every(1), toTheMinute)
			},
		} {
			func() {
				defer func() { assert.Contains(t, recover(), text) }()
				wire()
			}()
		}
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// What Shutdown keeps from being made is for other processes: it is not left out, nor anybody's late call.
func TestAnOccurrenceAtShutdownIsNotLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(silent)
		down := make(chan error, 1)
		b.Recur("tick", jitney.Every(time.Minute), func(time.Time) jitney.Event {
			go func() { down <- b.Shutdown(context.Background()) }()
			time.Sleep(time.Second)
			return nil
		})
		require.NoError(t, <-down)
		assert.Zero(t, b.Stats().LeftOut)
		assert.Zero(t, b.Stats().TooLate)
	})
}

// once is a timetable with one time.
type once struct{ at time.Time }

func (o once) Next(t time.Time) time.Time {
	if t.Before(o.at) {
		return o.at
	}
	return time.Time{}
}

// plainJournal keeps nothing for later.
type plainJournal struct{ jitney.Journal }

// outage is a journal whose schedule fails for a while.
type outage struct {
	*jitneytest.MemoryJournal
	fails int
}

func (o *outage) Schedule(ctx context.Context, s jitney.Scheduled) error {
	if o.fails--; o.fails >= 0 {
		return errors.New("the disk is full")
	}
	return o.MemoryJournal.Schedule(ctx, s)
}

func TestAnOccurrenceThatCannotBeStoredIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &outage{MemoryJournal: jitneytest.NewMemoryJournal(known()), fails: 5}
		b := jitney.New(silent, jitney.WithJournal(j))
		var c clockStruck
		jitney.Subscribe(b, "s", c.handle)
		b.Recur("tick", jitney.Every(time.Minute), toTheMinute)
		time.Sleep(2*time.Minute + time.Second)
		assert.Equal(t, []string{"00:01:00", "00:02:00"}, c.times())
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

func TestWrongRecurrencesPanicWithBothSides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logged
		b := jitney.New(jitney.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		b.Recur("tick", jitney.Every(time.Hour), toTheMinute)
		panics := func(text string, f func()) {
			defer func() { assert.Regexp(t, text, recover()) }()
			f()
		}
		panics(`Recur "tick" at .*recur_test.go:\d+: the name is taken by that at .*recur_test.go:\d+`, func() { b.Recur("tick", jitney.Every(time.Hour), toTheMinute) })
		panics(`every 0s`, func() { b.Recur("never", jitney.Every(0), toTheMinute) })
		panics(`needed`, func() { b.Recur("", jitney.Every(time.Hour), toTheMinute) })
		require.NoError(t, b.Shutdown(t.Context()))
		b.Recur("late", jitney.Every(time.Hour), toTheMinute)
		assert.Contains(t, log.line("recurs after shutdown"), "recur_test.go")
	})
}
