package dbtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/deadletter"
	"github.com/jitney-go/jitney/sqljournal"
)

// A redrive that is stopped goes on in the next process where it was, and is forgotten when it is over.
func redrive(t *testing.T, d *Database) {
	var mu sync.Mutex
	var tried []int
	mended := false
	process := func(f func(j *sqljournal.Journal, b *jitney.Bus)) {
		j, err := d.Open(types())
		must(t, err)
		b := jitney.New(jitney.WithJournal(j), jitney.WithDeadLetters(j.DeadLetters()), jitney.WithLogger(slog.New(slog.DiscardHandler)))
		jitney.Subscribe(b, "s", func(_ context.Context, e Counted) error {
			mu.Lock()
			defer mu.Unlock()
			if mended {
				tried = append(tried, e.N)
			}
			if !mended || e.N == 2 {
				return jitney.Permanent(errors.New("broken"))
			}
			return nil
		})
		f(j, b)
		must(t, b.Shutdown(t.Context()))
		must(t, j.Close(t.Context()))
	}
	process(func(_ *sqljournal.Journal, b *jitney.Bus) {
		for n := range 6 {
			must(t, b.Publish(t.Context(), Counted{"k", n}))
		}
		must(t, b.Flush(t.Context()))
		mended = true
	})
	job := func(j *sqljournal.Journal, b *jitney.Bus) deadletter.Redrive {
		return deadletter.Redrive{Bus: b, Store: j.DeadLetters(), Name: "repair", Checkpoints: j.Checkpoints()}
	}
	process(func(j *sqljournal.Journal, b *jitney.Bus) {
		ctx, cancel := context.WithCancel(t.Context())
		r := job(j, b)
		r.OnProgress = func(done deadletter.Report) {
			if done.Tried == 4 {
				cancel()
			}
		}
		if report, err := r.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("stopped: %v, %v", report, err)
		}
	})
	process(func(j *sqljournal.Journal, b *jitney.Bus) {
		if _, found, err := j.Checkpoints().Load(t.Context(), "repair"); err != nil || !found {
			t.Errorf("checkpoint: %v, %v", found, err)
		}
		report, err := job(j, b).Run(t.Context())
		must(t, err)
		if report.Matched != 2 || report.Succeeded != 2 {
			t.Errorf("the second half: %v", report)
		}
		if _, found, err := j.Checkpoints().Load(t.Context(), "repair"); err != nil || found {
			t.Errorf("checkpoint of a job that is over: %v, %v", found, err)
		}
		if n, err := j.DeadLetters().Count(t.Context(), jitney.DeadLetterFilter{}); err != nil || n != 1 {
			t.Errorf("%d letters are left, %v", n, err)
		}
	})
	if got := fmt.Sprint(tried); got != "[0 1 2 3 4 5]" {
		t.Errorf("tried %s", got)
	}
}
