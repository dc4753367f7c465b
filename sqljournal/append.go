package sqljournal

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
)

// How publishers become one commit. Whoever appends leaves a request and waits. One goroutine takes all that have come
// in while it was busy, writes them and what subscribers have settled in one transaction, and answers: the group
// commit of LevelDB and its followers, with no delay to wait for more but one turn of the scheduler after a commit of
// several: whom it has answered may be there again by then. It uses no publisher's context.

// request is what one Append asks for.
type request struct {
	records []*record
	done    chan error // gets the answer
	taken   bool       // it is in a commit; guarded by Journal.mu
}

// What one commit takes at most.
const (
	maxBatch      = 1024
	maxBatchBytes = 4 << 20
)

// Append implements [jitney.Journal].
func (j *Journal) Append(ctx context.Context, envs ...*jitney.Envelope) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if len(envs) == 0 {
		return nil
	}
	if j.isClosed() {
		return ErrClosed
	}
	r := &request{done: make(chan error, 1)}
	for _, env := range envs {
		rec, err := newRecord(env)
		if err != nil {
			return err
		}
		r.records = append(r.records, rec)
	}
	if tx := j.TxOf(ctx); tx != nil {
		return j.leave(ctx, tx, r.records)
	}
	if err := j.put(r); err != nil {
		return err
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
	}
	if j.withdraw(r) {
		return context.Cause(ctx)
	}
	return <-r.done // the commit is under way, and says soon whether it has stored this
}

func (j *Journal) put(r *request) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return ErrClosed
	}
	j.requests = append(j.requests, r)
	j.wake()
	return nil
}

// withdraw takes back a request, if it is not in a commit yet.
func (j *Journal) withdraw(r *request) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if r.taken {
		return false
	}
	j.requests = slices.DeleteFunc(j.requests, func(other *request) bool { return other == r })
	return true
}

// wake lets the committer know that there is something to do.
func (j *Journal) wake() {
	select {
	case j.bell <- struct{}{}:
	default:
	}
}

func (j *Journal) pending() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.requests) > 0
}

// take returns the requests of the next commit.
func (j *Journal) take() (batch []*request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	n, size := 0, 0
	for _, r := range j.requests {
		for _, rec := range r.records {
			size += rec.size()
		}
		n += len(r.records)
		if len(batch) > 0 && (n > maxBatch || size > maxBatchBytes) {
			break
		}
		r.taken = true
		batch = append(batch, r)
	}
	j.requests = slices.Delete(j.requests, 0, len(batch))
	return batch
}

// refuseTwins answers requests that have an ID in common with an earlier one of the batch: what is the same waits for
// the next commit, where it is found stored.
func (j *Journal) refuseTwins(batch []*request) []*request {
	seen := make(map[uuid.UUID]bool)
	var later []*request
	now := batch[:0:0]
	for _, r := range batch {
		twin := false
		for _, rec := range r.records {
			twin = twin || seen[rec.id]
		}
		if twin {
			later = append(later, r)
			continue
		}
		for _, rec := range r.records {
			if seen[rec.id] { // within one request
				twin = true
			}
			seen[rec.id] = true
		}
		if twin {
			r.done <- fmt.Errorf("sqljournal: append: %w: it is twice in one batch", jitney.ErrIDConflict)
			continue
		}
		now = append(now, r)
	}
	if len(later) > 0 {
		j.mu.Lock()
		defer j.mu.Unlock()
		for _, r := range later {
			r.taken = false
		}
		j.requests = append(later, j.requests...)
	}
	return now
}

// Why the journal cannot store anything now.
var (
	ErrClosed = errors.New("journal is closed")
	ErrFull   = errors.New("journal is full")
	ErrIO     = errors.New("journal cannot be written")
)
