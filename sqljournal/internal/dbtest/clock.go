package dbtest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
)

// aheadBy is by how much the clock was wrong that is right again in these tests.
const aheadBy = time.Hour

// at is an event that was published at a time.
func at(t time.Time, n int) *jitney.Envelope {
	e := Counted{"k", n}
	return &jitney.Envelope{ID: uuid.Must(uuid.NewV7()), Type: e.EventType(), Version: 1, Time: t, Key: e.Key, Event: e}
}

// A journal goes on when the clock is set back, although it has times then that are still to come: of events, of what
// is scheduled, and of a retry that waits.
func clockSetBack(t *testing.T, d *Database) {
	j := open(t, d)
	now := time.Now()
	// Event 0 is of before the clock was wrong, 1 to 4 of when it was, 5 to 9 of when it is right again, and 10 was
	// scheduled while it was wrong.
	must(t, j.Append(t.Context(), at(now.Add(-2*aheadBy), 0)))
	for n := 1; n < 5; n++ {
		must(t, j.Append(t.Context(), at(now.Add(aheadBy+time.Duration(n)*time.Second), n)))
	}
	postponed(t, j, now.Add(aheadBy))
	due, later := at(now.Add(aheadBy), 10), at(now.Add(aheadBy), 200)
	must(t, j.Schedule(t.Context(), jitney.Scheduled{ID: later.ID, At: now.Add(aheadBy), Envelope: later}))

	l := listen(j)
	retried := make(chan int, 100)
	jitney.Subscribe(l.bus, "retrying", func(ctx context.Context, e Counted) error {
		retried <- e.N
		if jitney.FromContext(ctx).Attempt == 2 { // more than MaxElapsed after the first, by the right clock
			return context.DeadlineExceeded
		}
		return nil
	}, jitney.WithRetry(jitney.Retry{Base: time.Millisecond, MaxElapsed: 100 * time.Millisecond}))
	for n := 5; n < 10; n++ {
		must(t, l.bus.Publish(t.Context(), Counted{"k", n}))
	}
	must(t, j.Schedule(t.Context(), jitney.Scheduled{ID: due.ID, At: now, Envelope: due}))
	if got := fmt.Sprint(l.hears(t, "k", 11)); got != "[0 1 2 3 4 5 6 7 8 9 10]" {
		t.Errorf("heard %s", got)
	}
	if got := fmt.Sprint(taken(t, retried, 11)); got != "[1 1 2 3 4 5 6 7 8 9 10]" {
		t.Errorf("retried, and what came behind that: %s", got)
	}
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(5 * time.Millisecond) {
		list, err := l.bus.Scheduled(t.Context(), 10)
		must(t, err)
		if len(list) == 1 && list[0].ID == later.ID {
			break // what was published has been forgotten, and what is not due by the right clock is kept
		}
		if time.Now().After(deadline) {
			t.Fatalf("scheduled: %v", list)
		}
	}
	must(t, l.bus.Unschedule(t.Context(), later.ID))
	must(t, l.bus.Flush(t.Context()))

	byTime(t, j, now)
	must(t, l.bus.Shutdown(t.Context()))
	byAge(t, j)
}

// taken returns n of what comes.
func taken(t *testing.T, from <-chan int, n int) (list []int) {
	t.Helper()
	for late := time.After(20 * time.Second); len(list) < n; {
		select {
		case e := <-from:
			list = append(list, e)
		case <-late:
			t.Fatalf("only %v came", list)
		}
	}
	return list
}

// byTime looks where FromTime begins: at the first event whose Time is late enough, whatever comes behind that.
func byTime(t *testing.T, j *sqljournal.Journal, now time.Time) {
	for _, from := range []struct {
		time  time.Time
		first int
		n     int64
	}{{now.Add(-3 * aheadBy), 0, 11}, {now, 1, 10}, {now.Add(aheadBy + 3*time.Second), 3, 8}, {now.Add(2 * aheadBy), -1, 0}} {
		done, err := j.Replay(t.Context(), sqljournal.Replay{Subscriber: "listener", From: jitney.FromTime(from.time), DryRun: true})
		must(t, err)
		first := startOf(t, j, jitney.FromTime(from.time))
		if done.Queued != from.n || first != from.first {
			t.Errorf("from %s: %d again, and the first is %d; expected %d and %d", from.time, done.Queued, first, from.n, from.first)
		}
	}
}

// byAge prunes: no event before its age, and none behind one that is too young.
func byAge(t *testing.T, j *sqljournal.Journal) {
	for _, c := range []struct {
		age            time.Duration
		removed, first int64
	}{{3 * aheadBy, 0, 1}, {aheadBy, 1, 2}, {time.Nanosecond, 0, 2}} {
		p, err := j.Prune(t.Context(), sqljournal.Retention{MaxAge: c.age, Unsettled: true})
		must(t, err)
		if p.Removed != c.removed || p.First != c.first {
			t.Errorf("beyond %s: %+v, expected %d removed, and %d the first", c.age, p, c.removed, c.first)
		}
	}
}

// ClockSetBack runs the test of leases given by a database whose clock was aheadBy: the owner that lives renews its own by
// the right one, that of an owner that is dead runs out when the clock gets there.
func ClockSetBack(t *testing.T, begin func(t *testing.T) *Database) {
	d := begin(t)
	db, err := d.Pool()
	must(t, err)
	defer func() { must(t, db.Close()) }()
	until := func() (ms int64) {
		must(t, db.QueryRowContext(t.Context(), "SELECT lease_until FROM "+d.Tables+"subscriber WHERE name = 'listener'").Scan(&ms))
		return ms
	}
	change := func(set string) { must(t, d.Execute(t.Context(), "UPDATE "+d.Tables+"subscriber SET "+set)) }

	j, err := d.OpenDB(db, types())
	must(t, err)
	l := listen(j)
	must(t, l.bus.Publish(t.Context(), Counted{"k", 0}))
	l.hears(t, "k", 1)
	right := until() + aheadBy.Milliseconds()/2
	change(fmt.Sprint("lease_until = lease_until + ", aheadBy.Milliseconds()))
	for deadline := time.Now().Add(20 * time.Second); until() > right; <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the lease was not renewed by the right clock")
		}
	}
	must(t, l.bus.Shutdown(t.Context()))
	must(t, j.Close(t.Context()))

	change(fmt.Sprint("owner = 'dead', lease_until = lease_until + ", aheadBy.Milliseconds()))
	j, err = d.OpenDB(db, types())
	must(t, err)
	l = listen(j)
	must(t, l.bus.Publish(t.Context(), Counted{"k", 1}))
	must(t, l.bus.Flush(t.Context()))
	if got := l.of("k"); len(got) > 0 {
		t.Errorf("heard %v of a place that is another's", got)
	}
	change(fmt.Sprint("lease_until = lease_until - ", 2*aheadBy.Milliseconds())) // the clock gets there
	if got := fmt.Sprint(l.hears(t, "k", 1)); got != "[1]" {
		t.Errorf("heard %s", got)
	}
	must(t, l.bus.Shutdown(t.Context()))
	must(t, j.Close(t.Context()))
}

// LeasesByTheDatabasesClock runs the test of a database whose clock is aheadBy before this process's, or behind: leases
// are taken, renewed and run out by that of the database only. settings has it stand still at a time.
func LeasesByTheDatabasesClock(t *testing.T, begin func(t *testing.T) *Database, settings func(t *testing.T, d *Database, at time.Time) map[string]string) {
	for name, by := range map[string]time.Duration{"Ahead": aheadBy, "Behind": -aheadBy} {
		t.Run(name, func(t *testing.T) {
			d := begin(t)
			leasesAt(t, d, time.Now().Add(by).Truncate(time.Second), func(at time.Time) map[string]string { return settings(t, d, at) })
		})
	}
}

func leasesAt(t *testing.T, d *Database, now time.Time, settings func(at time.Time) map[string]string) {
	const lease = time.Second // OpenDB's
	db, err := d.Pool()
	must(t, err)
	defer func() { must(t, db.Close()) }()
	until := func() (ms int64) {
		must(t, db.QueryRowContext(t.Context(), "SELECT lease_until FROM "+d.Tables+"subscriber WHERE name = 'listener'").Scan(&ms))
		return ms
	}
	change := func(set string) { must(t, d.Execute(t.Context(), "UPDATE "+d.Tables+"subscriber SET "+set)) }
	// process runs while the database's clock stands at a time.
	process := func(at time.Time, f func(l *listener)) {
		db, err := d.With(settings(at))
		must(t, err)
		j, err := d.OpenDB(db, types())
		must(t, err)
		l := listen(j)
		f(l)
		must(t, l.bus.Shutdown(t.Context()))
		must(t, j.Close(t.Context()))
		must(t, db.Close())
	}
	process(now, func(l *listener) {
		must(t, l.bus.Publish(t.Context(), Counted{"k", 0}))
		l.hears(t, "k", 1)
		want := now.Add(lease).UnixMilli()
		if got := until(); got != want {
			t.Errorf("the lease is until %d, expected %d", got, want)
		}
		change(fmt.Sprint("lease_until = ", now.UnixMilli()))
		for deadline := time.Now().Add(20 * time.Second); until() != want; <-time.After(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the lease is until %d, and not renewed until %d", until(), want)
			}
		}
	})
	change(fmt.Sprint("owner = 'dead', lease_until = ", now.Add(lease).UnixMilli()))
	process(now.Add(lease/2), func(l *listener) {
		must(t, l.bus.Publish(t.Context(), Counted{"k", 1}))
		must(t, l.bus.Flush(t.Context()))
		if got := l.of("k"); len(got) > 0 {
			t.Errorf("heard %v of a place that is another's", got)
		}
	})
	process(now.Add(2*lease), func(l *listener) {
		if got := fmt.Sprint(l.hears(t, "k", 1)); got != "[1]" {
			t.Errorf("heard %s", got)
		}
		if got, want := until(), now.Add(3*lease).UnixMilli(); got != want {
			t.Errorf("the lease is until %d, expected %d", got, want)
		}
	})
}

// postponed handles event 0 for a subscriber, and lets event 1 wait for its next attempt, by a clock that says now.
func postponed(t *testing.T, j *sqljournal.Journal, now time.Time) {
	c, err := j.Open(t.Context(), jitney.Durable{Name: "retrying", From: jitney.FromBeginning()})
	must(t, err)
	var entries []jitney.Entry
	for len(entries) < 2 {
		more, _, err := c.Next(t.Context(), 2-len(entries))
		must(t, err)
		entries = append(entries, more...)
	}
	c.Settle(entries[0].Position, jitney.Settled)
	wait := 1500 * time.Millisecond
	c.Postpone(entries[1].Position, jitney.Progress{Attempts: 1, First: now, Due: now.Add(wait), Wait: wait})
	must(t, c.Close(t.Context()))
}

// startOf returns the first event that a new subscriber is given; -1 if there is none.
func startOf(t *testing.T, j *sqljournal.Journal, from jitney.Start) int {
	c, err := j.Open(t.Context(), jitney.Durable{Name: uuid.NewString(), From: from})
	must(t, err)
	defer func() { must(t, c.Close(t.Context())) }()
	end, err := j.End(t.Context())
	must(t, err)
	for through := int64(0); through < end; {
		var entries []jitney.Entry
		entries, through, err = c.Next(t.Context(), 1)
		must(t, err)
		if len(entries) > 0 {
			return entries[0].Envelope.Event.(Counted).N
		}
	}
	return -1
}
