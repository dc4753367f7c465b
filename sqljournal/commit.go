package sqljournal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
)

// How publishers become one commit. Whoever appends leaves a request and waits. One goroutine takes all that have come
// in while it was busy, writes them and what subscribers have settled in one transaction, and answers: the group
// commit of LevelDB and its followers, with no delay to wait for more. It uses no publisher's context.

// request is what one Append asks for.
type request struct {
	records []*record
	done    chan error // gets the answer
	taken   bool       // it is in a commit; guarded by inbox.mu
}

// What one commit takes at most.
const (
	maxBatch      = 1024
	maxBatchBytes = 4 << 20
)

// patience is how long a statement of a commit may take on a database that is elsewhere.
const patience = 30 * time.Second

// Append implements [jitney.Journal].
func (j *Journal) Append(ctx context.Context, envs ...*jitney.Envelope) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if len(envs) == 0 {
		return nil
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

// run is the committer.
func (j *Journal) run() {
	defer close(j.stopped)
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
}

// round is one commit, and the answers. Settlements go with it if it has events, if they are many or have waited
// long enough, or if it is the last.
func (j *Journal) round(batch []*request, last bool) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if !j.d.Shared {
		ctx = context.Background() // a context that may end costs each statement a goroutine, and a file needs none
	}
	batch = j.refuseTwins(batch)
	changes := j.changes(last || len(batch) > 0)
	if !last && j.moveDue() && j.outboxHas(ctx) {
		j.report("sqljournal: outbox not moved, will try again", &j.unmoved, j.relay(ctx))
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
	f := j.d.Classify(err)
	return f == Full || f == Lost || f == Busy
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

// settleDoubt looks how far the log really goes, after a commit of which that is not known.
func (j *Journal) settleDoubt() error {
	if !j.doubtful {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	end, err := j.ask(ctx)
	if err != nil {
		return err
	}
	if j.committed != nil {
		j.committed(end)
	}
	j.doubtful = false
	return nil
}

// Why the journal cannot store anything now.
var (
	ErrClosed = errors.New("journal is closed")
	ErrFull   = errors.New("journal is full")
	ErrIO     = errors.New("journal cannot be written")
)

// explain gives an error of the database the name that callers know it by.
func (j *Journal) explain(err error) error {
	switch {
	case errors.Is(err, jitney.ErrIndeterminate), errors.Is(err, jitney.ErrIDConflict):
		return fmt.Errorf("sqljournal: commit: %w", err)
	case j.d.Classify(err) == Full:
		return fmt.Errorf("sqljournal: commit: %w: %w", ErrFull, err)
	}
	return fmt.Errorf("sqljournal: commit: %w: %w", ErrIO, err)
}

// try is one attempt at a commit. Only if look is set it asks first which of the events are stored already.
func (j *Journal) try(ctx context.Context, batch []*request, changes []*change, look bool) (stored []*record, err error) {
	err = j.tx(ctx, func(tx *writeTx) error {
		for _, r := range batch {
			stored = append(stored, r.records...)
		}
		if look {
			if stored, err = tx.fresh(ctx, stored); err != nil {
				return err
			}
		}
		if len(stored) > 0 {
			if err := tx.insert(ctx, stored); err != nil {
				return err
			}
		}
		for _, c := range changes {
			if err := c.write(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
	return stored, err
}

// fresh returns those of records that are not stored yet. ErrIDConflict if another is stored under the ID of one.
func (tx *writeTx) fresh(ctx context.Context, records []*record) (fresh []*record, err error) {
	for _, r := range records {
		old := &record{id: r.id}
		err := tx.conn.QueryRowContext(ctx, tx.j.sql(`SELECT type, at, attributes, data, crc FROM {p}log WHERE id = ?`), r.id[:]).
			Scan(&old.typ, &old.at, &old.attributes, &old.data, &old.crc)
		switch {
		case isNoRows(err):
			fresh = append(fresh, r)
		case err != nil:
			return nil, err
		case old.crc != r.crc || !bytes.Equal(old.data, r.data) || old.attributes != r.attributes:
			return nil, fmt.Errorf("%w: %s %s", jitney.ErrIDConflict, r.typ, r.id)
		}
	}
	return fresh, nil
}

// insert gives the records the next positions and writes them.
func (tx *writeTx) insert(ctx context.Context, records []*record) error {
	next, err := tx.number(ctx, `SELECT next FROM {p}head WHERE id = 1{lock}`)
	if err != nil {
		return err
	}
	for i, r := range records {
		r.pos = next + int64(i)
	}
	for rest := records; len(rest) > 0; {
		n := 1
		for _, size := range [...]int{64, 8} {
			if len(rest) >= size {
				n = size
				break
			}
		}
		args := make([]any, 0, 7*n)
		for _, r := range rest[:n] {
			args = append(args, r.pos, r.id[:], r.typ, r.at, r.attributes, r.data, int64(r.crc))
		}
		if err := tx.exec(ctx, inserts[n], args...); err != nil {
			return err
		}
		rest = rest[n:]
	}
	if err := tx.noteTypes(ctx, records); err != nil {
		return err
	}
	return tx.exec(ctx, `UPDATE {p}head SET next = ? WHERE id = 1`, next+int64(len(records)))
}

// inserts are statements for so many rows.
var inserts = map[int]string{1: insertRows(1), 8: insertRows(8), 64: insertRows(64)}

func insertRows(n int) string {
	return `INSERT INTO {p}log (pos, id, type, at, attributes, data, crc) VALUES ` +
		strings.TrimSuffix(strings.Repeat("(?, ?, ?, ?, ?, ?, ?), ", n), ", ")
}
