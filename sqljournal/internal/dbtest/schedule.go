package dbtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
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
	list, err := l.bus.Scheduled(t.Context(), 10)
	must(t, err)
	if len(list) != 3 {
		t.Errorf("%d are scheduled, expected those that were committed", len(list))
	}
	for deadline := time.Now().Add(20 * time.Second); len(list) > 0; <-time.After(10 * time.Millisecond) {
		list, err = j.Scheduled(t.Context(), 10)
		must(t, err)
		if time.Now().After(deadline) {
			t.Fatalf("%d are still scheduled", len(list))
		}
	}
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
