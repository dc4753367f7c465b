package sqljournal

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
)

// Schedule implements [jitney.ScheduleStore]. In a transaction of WithTx, Tx or an Inbox the event is scheduled if and
// only if that commits.
func (j *Journal) Schedule(ctx context.Context, s jitney.Scheduled) error {
	if j.isClosed() {
		return ErrClosed
	}
	r, err := newRecord(s.Envelope)
	if err != nil {
		return err
	}
	const insert = `INSERT INTO {p}later (id, due, type, at, attributes, data, crc) VALUES (?, ?, ?, ?, ?, ?, ?)`
	args := []any{r.id[:], s.At.UnixNano(), r.typ, r.at, r.attributes, r.data, int64(r.crc)}
	if tx := j.TxOf(ctx); tx != nil {
		_, err = tx.ExecContext(ctx, j.sql(insert), args...)
	} else {
		err = j.write(ctx, func(ctx context.Context, tx *writeTx) error { return tx.exec(ctx, insert, args...) })
	}
	switch {
	case err == nil:
		return nil
	case j.d.Classify(err) == Duplicate:
		err = fmt.Errorf("%w: %s", jitney.ErrIDConflict, s.Envelope)
	default:
		err = j.explain(err)
	}
	return fmt.Errorf("sqljournal: schedule: %w", err)
}

// Unschedule implements [jitney.ScheduleStore]; in a transaction as Schedule.
func (j *Journal) Unschedule(ctx context.Context, id uuid.UUID) error {
	const remove = `DELETE FROM {p}later WHERE id = ?`
	var res sql.Result
	var err error
	if tx := j.TxOf(ctx); tx != nil {
		res, err = tx.ExecContext(ctx, j.sql(remove), id[:])
	} else {
		err = j.write(ctx, func(ctx context.Context, tx *writeTx) (err error) {
			res, err = tx.conn.ExecContext(ctx, j.sql(remove), id[:])
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("sqljournal: unschedule: %w", j.explain(err))
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return fmt.Errorf("sqljournal: unschedule: %w", jitney.ErrNotScheduled)
	}
	return nil
}

// write calls f in a transaction of its own, again if that was busy.
func (j *Journal) write(ctx context.Context, f func(context.Context, *writeTx) error) (err error) {
	j.writing.Lock()
	defer j.writing.Unlock()
	ctx, cancel := j.patiently(ctx)
	defer cancel()
	for range 5 {
		if err = j.tx(ctx, func(tx *writeTx) error { return f(ctx, tx) }); err == nil || j.d.Classify(err) != Busy {
			return err
		}
	}
	return err
}

// Scheduled implements [jitney.ScheduleStore].
func (j *Journal) Scheduled(ctx context.Context, most int) (list []jitney.Scheduled, err error) {
	ctx, cancel := j.patiently(ctx)
	defer cancel()
	rows, err := j.db.QueryContext(ctx, j.sql(`SELECT 0 AS pos, id, type, at, attributes, data, crc, due FROM {p}later ORDER BY due, id LIMIT ?`), max(most, 0))
	if err != nil {
		return nil, fmt.Errorf("sqljournal: scheduled events: %w", err)
	}
	var due []*int64
	records, err := scan(rows, func(*record) []any {
		due = append(due, new(int64))
		return []any{due[len(due)-1]}
	})
	if err != nil {
		return nil, fmt.Errorf("sqljournal: scheduled events: %w", err)
	}
	for i, r := range records {
		e := r.entry(j.types)
		list = append(list, jitney.Scheduled{ID: r.id, At: time.Unix(0, *due[i]), Envelope: e.Envelope, Err: e.Err})
	}
	return list, nil
}
