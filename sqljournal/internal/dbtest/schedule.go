package dbtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
	"github.com/jitney-go/jitney/wire"
)

// schedules is a jitneytest.ScheduleOpener.
type schedules struct {
	*Database
	j *sqljournal.Journal
}

func (s *schedules) Open(types *wire.Types) (_ jitney.ScheduleStore, err error) {
	s.j, err = s.Database.Open(types)
	return s.j, err
}

func (s *schedules) Close() error { return s.j.Close(context.Background()) }

// What is scheduled in a transaction is scheduled if and only if that commits, and is published once by the processes
// that share the database.
func scheduleInTransaction(t *testing.T, d *Database) {
	j := open(t, d)
	l := listen(j)
	others := 0
	if d.Concurrent { // two processes notice that it is due
		other, err := d.Open(types())
		must(t, err)
		b := listen(other)
		defer func() {
			must(t, b.bus.Shutdown(context.Background()))
			must(t, other.Close(context.Background()))
		}()
		others++
	}
	at := time.Now().Add(1200 * time.Millisecond)
	refused := errors.New("refused")
	for n := range 6 {
		err := j.Tx(t.Context(), func(ctx context.Context, _ *sql.Tx) error {
			_, err := l.bus.Schedule(ctx, at.Add(time.Duration(n)*time.Millisecond), Counted{"k", n})
			if err == nil && n%2 == 1 {
				err = refused
			}
			return err
		})
		if (n%2 == 1) != errors.Is(err, refused) {
			t.Errorf("%d: %v", n, err)
		}
	}
	if n := waiting(t, l.bus); n != 3 {
		t.Errorf("%d are scheduled, expected those that were committed", n)
	}
	eventually(t, "nothing is scheduled", func() bool { return waiting(t, l.bus) == 0 })
	end, err := j.End(t.Context())
	must(t, err)
	if end != 3 {
		t.Errorf("published %d, with %d other processes", end, others)
	}
	got := l.hears(t, "k", 3)
	if fmt.Sprint(got) != "[0 2 4]" {
		t.Errorf("heard %v", got)
	}
	must(t, l.bus.Shutdown(t.Context()))
}

// Each time of a timetable is published once, and handled once, by the processes that share the database.
func timetable(t *testing.T, d *Database) {
	const step = 100 * time.Millisecond
	processes := []*ticker{tick(open(t, d), "first", step)}
	if d.Concurrent {
		processes = append(processes, tick(open(t, d), "second", step))
	}
	heard := func() (times []int) {
		for _, p := range processes {
			times = append(times, p.of("tick")...)
		}
		slices.Sort(times)
		return times
	}
	eventually(t, "several times have come", func() bool { return len(heard()) >= 8 })
	for _, p := range processes {
		must(t, p.recurrence.Stop(t.Context()))
	}
	eventually(t, "nothing is scheduled", func() bool { return waiting(t, processes[0].bus) == 0 })
	var due uint64
	for _, p := range processes {
		must(t, p.bus.Flush(t.Context()))
		due += p.bus.Stats().Due
	}
	end, err := processes[0].journal.End(t.Context())
	must(t, err)
	times := heard()
	if int(end) != len(times) || int(due) < len(times) {
		t.Errorf("published %d, of which %d when due, and heard %d", end, due, len(times))
	}
	for i, at := range times {
		if at%int(step.Milliseconds()) != 0 || i > 0 && at == times[i-1] {
			t.Errorf("heard %v", times)
			break
		}
	}
	for _, p := range processes {
		must(t, p.bus.Shutdown(t.Context()))
	}
}

// ticker is a listener with a timetable.
type ticker struct {
	*listener
	journal    *sqljournal.Journal
	recurrence *jitney.Recurrence
}

// tick begins the timetable that the processes have in common. No two make the same envelope of an occurrence.
func tick(j *sqljournal.Journal, process string, step time.Duration) *ticker {
	b := jitney.New(jitney.WithJournal(j), jitney.WithLogger(slog.New(slog.DiscardHandler)),
		jitney.WithPublishHook(func(_ context.Context, env *jitney.Envelope) error {
			env.Headers = map[string]string{"by": process}
			return nil
		}))
	r := b.Recur("tick", jitney.Every(step), func(at time.Time) jitney.Event {
		return Counted{"tick", int(at.UnixMilli())}
	})
	return &ticker{listenOn(b), j, r}
}

// waiting is how many events wait for their time.
func waiting(t *testing.T, b *jitney.Bus) int {
	t.Helper()
	list, err := b.Scheduled(t.Context(), 10)
	must(t, err)
	return len(list)
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}
