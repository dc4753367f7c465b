package sqljournal

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/jitney-go/jitney"
)

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
	next, err := tx.next(ctx)
	if err != nil {
		return err
	}
	for i, r := range records {
		r.pos = next + int64(i)
	}
	for rest := records; len(rest) > 0; {
		n := 1
		for n < maxRows && 2*n <= len(rest) {
			n *= 2
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
	next += int64(len(records))
	if !tx.j.d.Shared {
		tx.end = next
		return nil
	}
	if err := tx.exec(ctx, `UPDATE {p}head SET next = ? WHERE id = 1`, next); err != nil {
		return err
	}
	return tx.tell(ctx, next-1)
}

// next is the position of the next event. Where several processes write, the log's head has it, and is locked until the
// transaction ends. A journal that has but one writer is spared that row: it knows how far its own last commit went, and
// finds it in the log otherwise, whose newest event is never pruned.
func (tx *writeTx) next(ctx context.Context) (int64, error) {
	if !tx.j.d.Shared && tx.j.next > 0 {
		return tx.j.next, nil
	}
	return tx.number(ctx, `SELECT {next}{lock}`)
}

// maxRows is how many rows one statement inserts at most.
const maxRows = 64

// inserts are statements for so many rows: a commit of any size is a few of them.
var inserts = func() map[int]string {
	m := make(map[int]string)
	for n := 1; n <= maxRows; n *= 2 {
		m[n] = `INSERT INTO {p}log (pos, id, type, at, attributes, data, crc) VALUES ` +
			strings.TrimSuffix(strings.Repeat("(?, ?, ?, ?, ?, ?, ?), ", n), ", ")
	}
	return m
}()
