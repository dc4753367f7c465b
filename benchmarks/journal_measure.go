package benchmarks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
)

// RawAppends is the floor of all journals: how many records of 300 bytes a second can be written to a file in dir, each
// with an fsync of its own.
func RawAppends(dir string, about time.Duration) (perSecond float64, err error) {
	name := filepath.Join(dir, "raw")
	f, err := os.Create(name)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(name)) }()
	record := make([]byte, 300)
	begin, n := time.Now(), 0
	for time.Since(begin) < about {
		if _, err := f.Write(record); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		n++
	}
	return rate(n, begin), nil
}

func rate(n int, begin time.Time) float64 { return float64(n) / time.Since(begin).Seconds() }

// Publish measures how many events a second so many publishers get into j, each waiting for its own to be stored. All
// of them must be in the journal then.
func Publish(ctx context.Context, j *sqljournal.Journal, publishers int, about time.Duration) (perSecond float64, err error) {
	before, err := j.End(ctx)
	if err != nil {
		return 0, err
	}
	b := jitney.New(jitney.WithJournal(j), jitney.WithLogger(slog.New(slog.DiscardHandler)))
	var wg sync.WaitGroup
	var acknowledged atomic.Int64
	failed := make(chan error, publishers)
	begin := time.Now()
	for p := range publishers {
		wg.Go(func() {
			for seq := int64(0); time.Since(begin) < about; seq++ {
				if err := b.Publish(ctx, NewStored(p, seq)); err != nil {
					failed <- err
					return
				}
				acknowledged.Add(1)
			}
		})
	}
	wg.Wait()
	perSecond = rate(int(acknowledged.Load()), begin)
	close(failed)
	for e := range failed {
		err = errors.Join(err, e)
	}
	end, failure := j.End(ctx)
	if err = errors.Join(err, failure, b.Shutdown(ctx)); err == nil && end-before != acknowledged.Load() {
		err = fmt.Errorf("%d events acknowledged, %d stored", acknowledged.Load(), end-before)
	}
	return perSecond, err
}

// Fill appends events to j until it has n.
func Fill(ctx context.Context, j *sqljournal.Journal, n int64) error {
	end, err := j.End(ctx)
	if err != nil {
		return err
	}
	const batch = 1000
	for end < n {
		envs := make([]*jitney.Envelope, min(batch, n-end))
		for i := range envs {
			e := NewStored(0, end+int64(i))
			envs[i] = &jitney.Envelope{ID: uuid.Must(uuid.NewV7()), Type: e.EventType(), Version: 1, Time: time.Now(), Event: e}
		}
		if err := j.Append(ctx, envs...); err != nil {
			return err
		}
		end += int64(len(envs))
	}
	return nil
}

// CatchUp measures how many events a second a new subscriber handles of the n that Fill has put into j. They must come
// in their order, each once.
func CatchUp(ctx context.Context, j *sqljournal.Journal, n int64) (perSecond float64, err error) {
	b := jitney.New(jitney.WithJournal(j), jitney.WithLogger(slog.New(slog.DiscardHandler)))
	done := make(chan struct{})
	var handled, wrong int64
	begin := time.Now()
	s := jitney.Subscribe(b, "catch-up-"+uuid.NewString(), func(_ context.Context, e Stored) error {
		if _, seq := e.Origin(); seq != handled {
			wrong++
		}
		if handled++; handled == n {
			close(done)
		}
		return nil
	}, jitney.WithStart(jitney.FromBeginning()))
	select {
	case <-done:
	case <-time.After(5 * time.Minute):
		err = errors.New("not all events have come within five minutes")
	}
	perSecond = rate(int(n), begin)
	if err = errors.Join(err, b.Shutdown(ctx)); err != nil {
		return 0, err
	}
	if handled != n || wrong > 0 {
		return 0, fmt.Errorf("%d of %d events handled, %d out of order", handled, n, wrong)
	}
	return perSecond, j.Forget(ctx, s.Name())
}
