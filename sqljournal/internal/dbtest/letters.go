package dbtest

import (
	"context"
	"io"
	"log/slog"
	"testing"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
	"github.com/jitney-go/jitney/wire"
)

// recounted is what a later program takes Counted for.
type recounted struct{ Key []int }

func (recounted) EventType() string { return "dbtest.counted" }

// A dead letter is there after a restart, and can be redelivered.
func lettersSurvive(t *testing.T, d *Database) {
	run := func(broken bool, f func(b *jitney.Bus, j *sqljournal.Journal)) {
		j, err := d.Open(types())
		must(t, err)
		b := jitney.New(jitney.WithJournal(j), jitney.WithLogger(slog.New(slog.DiscardHandler)))
		jitney.Subscribe(b, "s", func(context.Context, Counted) error {
			if broken {
				return io.ErrUnexpectedEOF
			}
			return nil
		}, jitney.WithDeadLetters(j.DeadLetters()))
		f(b, j)
		must(t, b.Shutdown(t.Context()))
		must(t, j.Close(t.Context()))
	}
	run(true, func(b *jitney.Bus, _ *sqljournal.Journal) {
		must(t, b.Publish(t.Context(), Counted{"k", 7}))
		must(t, b.Flush(t.Context()))
	})
	other := wire.NewTypes() // a program in which the payload no longer fits
	wire.Register[recounted](other)
	j, err := d.Open(other)
	must(t, err)
	list, err := j.DeadLetters().List(t.Context(), jitney.DeadLetterFilter{})
	must(t, err)
	if len(list) != 1 {
		t.Fatalf("letters: %v", list)
	}
	if _, raw := list[0].Envelope.Event.(jitney.RawEvent); !raw {
		t.Errorf("the letter has a %T", list[0].Envelope.Event)
	}
	must(t, j.Close(t.Context()))
	run(false, func(b *jitney.Bus, j *sqljournal.Journal) {
		list, err := j.DeadLetters().List(t.Context(), jitney.DeadLetterFilter{Error: "unexpected EOF"})
		must(t, err)
		if len(list) != 1 || list[0].Envelope.Event != (jitney.Event)(Counted{"k", 7}) {
			t.Fatalf("letters: %v", list)
		}
		must(t, b.Redeliver(t.Context(), list[0]))
		if n, err := j.DeadLetters().Count(t.Context(), jitney.DeadLetterFilter{}); n != 0 || err != nil {
			t.Errorf("%d letters, %v", n, err)
		}
	})
}
