package sqljournal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
)

// move moves events from the outbox into the log, and returns them, and whether there are more. Only if look is set it
// asks first which of them are stored already.
func (tx *writeTx) move(ctx context.Context, look bool) (moved []*record, more bool, err error) {
	// The log's head is locked first: what this statement sees is all that has been committed by then, and no other
	// process moves.
	if _, err := tx.number(ctx, `SELECT {next}{lock}`); err != nil {
		return nil, false, err
	}
	records, more, err := tx.batches(ctx)
	if err != nil || len(records) == 0 {
		return nil, false, err
	}
	for _, r := range records {
		if r.crc != r.sum() {
			return nil, false, fmt.Errorf("%w: in the outbox, at %d", ErrCorrupt, r.pos)
		}
	}
	if err := tx.clearOutbox(ctx, records); err != nil {
		return nil, false, err
	}
	if moved = records; look {
		if moved, err = tx.freshOnes(ctx, records); err != nil {
			return nil, false, err
		}
	}
	if len(moved) > 0 {
		err = tx.insert(ctx, moved)
	}
	return moved, more, err
}

// batches returns the oldest of what is in the outbox, each batch whole and in one piece at the place of its first
// event, and whether there is more. A batch was written between two points at which its transaction could come to wait
// for another one, so the order of transactions that excluded each other stays.
func (tx *writeTx) batches(ctx context.Context) (records []*record, more bool, err error) {
	list, err := tx.outbox(ctx, 0)
	if err != nil {
		return nil, false, err
	}
	more = len(list) == maxBatch
	var order []int64
	parts, missing := make(map[int64][]*record), make(map[int64]int)
	for _, l := range list {
		if missing[l.batch] == 0 {
			order = append(order, l.batch)
			missing[l.batch] = max(l.parts, 1)
		}
	}
	for {
		for _, l := range list {
			if missing[l.batch] == 0 {
				continue // it is left for the next time
			}
			parts[l.batch] = append(parts[l.batch], l.record)
			if missing[l.batch]--; missing[l.batch] == 0 {
				delete(missing, l.batch)
			}
		}
		if len(missing) == 0 || len(list) < maxBatch {
			break
		}
		if list, err = tx.outbox(ctx, list[len(list)-1].pos); err != nil {
			return nil, false, err
		}
	}
	for _, batch := range order {
		records = append(records, parts[batch]...)
	}
	return records, more, nil
}

// left is a record in the outbox.
type left struct {
	*record
	batch int64
	parts int // of the batch
}

// outbox reads the outbox behind a position there.
func (tx *writeTx) outbox(ctx context.Context, after int64) (list []*left, err error) {
	rows, err := tx.conn.QueryContext(ctx, tx.j.sql(`SELECT `+recordColumns+`, version, batch, parts FROM {p}outbox WHERE pos > ? ORDER BY pos LIMIT ?`), after, maxBatch)
	if err != nil {
		return nil, err
	}
	_, err = scan(rows, func(r *record) []any {
		l := &left{record: r}
		list = append(list, l)
		return []any{&r.version, &l.batch, &l.parts}
	})
	return list, err
}

// clearOutbox removes records from the outbox.
func (tx *writeTx) clearOutbox(ctx context.Context, records []*record) error {
	for some := range slices.Chunk(records, maxBatch) {
		args := make([]any, len(some))
		for i, r := range some {
			args[i] = r.pos
		}
		marks := strings.TrimSuffix(strings.Repeat("?, ", len(args)), ", ")
		if _, err := tx.conn.ExecContext(ctx, tx.j.sql(`DELETE FROM {p}outbox WHERE pos IN (`+marks+`)`), args...); err != nil {
			return err
		}
	}
	return nil
}

// freshOnes returns those of records that are not stored yet. One that has another's ID is dropped: its publisher
// cannot be told any more.
func (tx *writeTx) freshOnes(ctx context.Context, records []*record) (list []*record, err error) {
	seen := make(map[uuid.UUID]bool)
	for _, r := range records {
		fresh, err := tx.fresh(ctx, []*record{r})
		switch {
		case errors.Is(err, jitney.ErrIDConflict):
			tx.j.log.Error("sqljournal: another event has the ID of one in the outbox, which is dropped",
				slog.String("type", r.typ), slog.String("id", r.id.String()))
		case err != nil:
			return nil, err
		case len(fresh) > 0 && !seen[r.id]:
			list = append(list, r)
			seen[r.id] = true
		}
	}
	return list, nil
}
