package dbtest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
)

// Rare is an event that hardly ever happens.
type Rare struct{}

// EventType implements jitney.Event.
func (Rare) EventType() string { return "dbtest.rare" }

// Places says how far everybody is, also a subscriber that nothing has been for.
func places(t *testing.T, d *Database) {
	j := open(t, d)
	l := listen(j, jitney.WithWorkers(2), jitney.WithRetry(jitney.Retry{Attempts: 2}))
	jitney.Subscribe(l.bus, "rare", func(context.Context, Rare) error { return nil })
	stuck := make(chan struct{})
	jitney.Subscribe(l.bus, "stuck", func(_ context.Context, e Counted) error {
		switch e.N {
		case 7:
			return jitney.RetryAfter(time.Hour, context.DeadlineExceeded)
		case 8:
			<-stuck
		}
		return nil
	}, jitney.WithWorkers(2), jitney.WithRetry(jitney.Retry{Attempts: 2}))
	for n := range 10 {
		must(t, l.bus.Publish(t.Context(), Counted{fmt.Sprint(n % 2), n}))
	}
	expect := func(want ...sqljournal.Place) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); ; <-time.After(5 * time.Millisecond) {
			got, err := j.Places(t.Context())
			must(t, err)
			if fmt.Sprint(got) == fmt.Sprint(want) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("places are %+v, expected %+v", got, want)
			}
		}
	}
	done := func(name string) sqljournal.Place { return sqljournal.Place{Subscriber: name, Position: 10} }
	expect(done("listener"), done("rare"), sqljournal.Place{Subscriber: "stuck", Position: 8, Behind: 2, Waiting: 1})
	close(stuck)
	expect(done("listener"), done("rare"), sqljournal.Place{Subscriber: "stuck", Position: 9, Behind: 1, Waiting: 1})
	must(t, l.bus.Shutdown(t.Context()))
	expect(done("listener"), done("rare"), sqljournal.Place{Subscriber: "stuck", Position: 9, Behind: 1, Waiting: 1})
}
