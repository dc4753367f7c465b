package sqljournal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/jitney-go/jitney"
)

// patience is how long a commit, or what a subscriber asks, may take on a database that is elsewhere: a connection that
// has gone silent would keep it waiting until the kernel gives up.
const patience = 30 * time.Second

// patiently returns ctx with an end. A context that may end costs each statement a goroutine, and a file needs none.
func (j *Journal) patiently(ctx context.Context) (context.Context, context.CancelFunc) {
	if !j.d.Shared {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, patience)
}

// run is the committer.
func (j *Journal) run() {
	defer close(j.stopped)
	defer j.fetches.Wait()
	flush := time.NewTimer(j.poll)
	defer flush.Stop()
	for over := false; !over; {
		select {
		case <-j.bell:
		case <-flush.C:
		case <-j.stop:
			over = true
		}
		j.round(j.take(), over)
		for j.pending() {
			j.round(j.take(), over)
		}
		flush.Reset(j.flushIn())
	}
	j.writing.Lock()
	defer j.writing.Unlock()
	j.releaseLeases()
	j.abandon()
	j.over = true
}

// round is one commit, and the answers. Settlements go with it if it has events, if they are many or have waited
// long enough, or if it is the last.
func (j *Journal) round(batch []*request, last bool) {
	ctx, cancel := j.patiently(context.Background())
	defer cancel()
	batch = j.refuseTwins(batch)
	changes := j.changes(last || len(batch) > 0)
	if !last && j.moveDue() && j.outboxHas(ctx) {
		err := j.relay(ctx)
		j.report("sqljournal: outbox not moved, will try again", &j.unmoved, err)
		j.moveAgain(err)
	}
	if len(batch) == 0 && len(changes) == 0 {
		return
	}
	err := j.commit(ctx, batch, changes)
	if len(batch) > 0 && len(batch)+len(changes) > 1 && err != nil && !errors.Is(err, jitney.ErrIndeterminate) && !j.passing(err) {
		j.oneByOne(ctx, batch) // one of them is at fault, and nobody else is to suffer
		batch, err = nil, j.commit(ctx, nil, changes)
	}
	for _, c := range changes {
		c.flushed(err)
	}
	if len(changes) > 0 {
		j.report("sqljournal: positions not stored, will try again", &j.unflushed, err)
	}
	for _, r := range batch {
		r.done <- err
	}
	if len(batch) > 1 {
		runtime.Gosched() // those who know now, and have more to publish, are in the next commit with those who wait
	}
}

// report logs the 1st, 2nd, 4th, 8th … failure in a row of something that is tried again.
func (j *Journal) report(text string, times *int, err error) {
	if err == nil {
		*times = 0
		return
	}
	if *times++; *times&(*times-1) == 0 {
		j.log.Error(text, slog.String("database", j.d.Name), slog.Int("times", *times), slog.String("error", err.Error()))
	}
}

func (j *Journal) oneByOne(ctx context.Context, batch []*request) {
	for _, r := range batch {
		r.done <- j.commit(ctx, []*request{r}, nil)
	}
}

// passing reports whether err has nothing to do with what was to be stored.
func (j *Journal) passing(err error) bool {
	if errors.Is(err, jitney.ErrIDConflict) { // no driver's error, which Classify may take for a lost connection
		return false
	}
	f := j.d.Classify(err)
	return f == Full || f == Lost || f == Busy
}

// commit stores the batch and the changes, and makes the events known. It tries again what was busy.
func (j *Journal) commit(ctx context.Context, batch []*request, changes []*change) error {
	return j.store(func(again bool) ([]*record, error) { return j.try(ctx, batch, changes, again) })
}

// relay moves what is in the outbox.
func (j *Journal) relay(ctx context.Context) error {
	for more := true; more; {
		err := j.store(func(again bool) (moved []*record, err error) {
			err = j.tx(ctx, func(tx *writeTx) (err error) {
				moved, more, err = tx.move(ctx, again)
				return err
			})
			return moved, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// store calls try, which commits records, and makes them known. What was busy, or found something stored already, is
// tried again.
func (j *Journal) store(try func(again bool) ([]*record, error)) (err error) {
	j.writing.Lock()
	defer j.writing.Unlock()
	if err := j.settleDoubt(); err != nil {
		return j.explain(err)
	}
	if j.check != nil && time.Since(j.checked) >= time.Second {
		if err := j.check(); err != nil {
			return j.explain(err)
		}
		j.checked = time.Now()
	}
	for attempt := range 5 {
		var stored []*record
		if stored, err = try(attempt > 0); err == nil {
			if len(stored) > 0 {
				if j.committed != nil {
					j.committed(stored[len(stored)-1].pos)
				}
				j.recent.add(stored)
			}
			return nil
		}
		if f := j.d.Classify(err); errors.Is(err, jitney.ErrIndeterminate) || f != Busy && f != Duplicate {
			break
		}
	}
	return j.explain(err)
}

// settleDoubt looks how far the log really goes, after a commit of which that is not known. It asks on the connection
// that is to write, which is new: one that was there before may go by what it has read, until something is written.
func (j *Journal) settleDoubt() error {
	if !j.doubtful {
		return nil
	}
	ctx, cancel := j.patiently(context.Background())
	defer cancel()
	conn, err := j.writer(ctx)
	if err != nil {
		return err
	}
	end, err := j.endBy(ctx, conn)
	if err != nil {
		j.abandon()
		return err
	}
	if j.committed != nil {
		j.committed(end)
	}
	j.doubtful = false
	return nil
}

// explain gives an error of the database the name that callers know it by.
func (j *Journal) explain(err error) error {
	switch {
	case errors.Is(err, jitney.ErrIndeterminate), errors.Is(err, jitney.ErrIDConflict), errors.Is(err, ErrClosed):
		return fmt.Errorf("sqljournal: commit: %w", err)
	case j.d.Classify(err) == Full:
		return fmt.Errorf("sqljournal: commit: %w: %w", ErrFull, err)
	}
	return fmt.Errorf("sqljournal: commit: %w: %w", ErrIO, err)
}
