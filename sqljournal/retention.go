package sqljournal

import (
	"context"
	"fmt"
	"time"
)

// Retention says which events may go. A zero field sets no limit; an event goes when it is beyond any of the limits.
type Retention struct {
	// MaxAge is how old an event may be, by its Time and this process's clock. An event goes only with all before it: one
	// of a clock that was ahead stays for as much longer, and keeps what came behind it.
	MaxAge time.Duration
	// MaxEvents is how many are kept, and MaxBytes how large they may be together: payloads, attributes, and 100 bytes
	// for each. What the database takes for that is its business; SQLite's file does not shrink, but is used again.
	MaxEvents, MaxBytes int64
	// Unsettled lets events go that a subscriber has not settled yet. They are lost to it, and that is logged.
	Unsettled bool
}

// Pruned says what Prune has done.
type Pruned struct {
	// Removed is how many events are gone, and First the position of the oldest that is left.
	Removed, First int64
	// HeldBy has the subscribers that keep events from going, and how many each: those that it has not settled.
	HeldBy map[string]int64
}

// pruneStep is how many events one transaction removes, at most: publishers wait for it.
const pruneStep = 1000

// Prune removes what r lets go, oldest first: without Unsettled nothing that a subscriber of this journal, open or not,
// has not settled, nor what is put aside for one. The newest event always stays. An event that is gone is no longer
// known by its ID: to publish it again would store it again.
func (j *Journal) Prune(ctx context.Context, r Retention) (p Pruned, err error) {
	if j.isClosed() {
		return p, fmt.Errorf("sqljournal: prune: %w", ErrClosed)
	}
	end, err := j.beyond(ctx, r)
	for more := true; more && err == nil; {
		j.writing.Lock()
		err = j.tx(ctx, func(tx *writeTx) (err error) {
			p.HeldBy = make(map[string]int64)
			more, err = tx.prune(ctx, end, r.Unsettled, &p)
			return err
		})
		j.writing.Unlock()
	}
	if err != nil {
		return p, fmt.Errorf("sqljournal: prune: %w", err)
	}
	return p, nil
}

// beyond returns the first position that r does not let go.
func (j *Journal) beyond(ctx context.Context, r Retention) (end int64, err error) {
	var first, next int64
	if err := j.db.QueryRowContext(ctx, j.sql(`SELECT oldest, (SELECT {next}) FROM {p}head WHERE id = 1`)).Scan(&first, &next); err != nil {
		return 0, err
	}
	limit := func(otherwise int64, query string, args ...any) {
		var pos int64
		if err != nil {
			return
		}
		if err = j.db.QueryRowContext(ctx, j.sql(query), args...).Scan(&pos); isNoRows(err) {
			pos, err = otherwise, nil
		}
		end = max(end, pos)
	}
	end = first
	if r.MaxEvents > 0 {
		end = max(end, next-r.MaxEvents)
	}
	if r.MaxAge > 0 {
		limit(next, `SELECT pos FROM {p}log WHERE at >= ? AND pos >= ? ORDER BY pos LIMIT 1`, time.Now().Add(-r.MaxAge).UnixNano(), first)
	}
	if r.MaxBytes > 0 {
		limit(first, `SELECT pos + 1 FROM (SELECT pos, SUM(100 + OCTET_LENGTH(type) + OCTET_LENGTH(attributes) + COALESCE(OCTET_LENGTH(data), 0)) `+
			`OVER (ORDER BY pos DESC) AS total FROM {p}log WHERE pos >= ?) AS sums WHERE total > ? ORDER BY pos DESC LIMIT 1`, first, r.MaxBytes)
	}
	return min(end, next-1), err
}

// prune is one step of Prune, up to end, and reports whether there is another.
func (tx *writeTx) prune(ctx context.Context, end int64, also bool, p *Pruned) (more bool, err error) {
	if _, err := tx.number(ctx, `SELECT {next}{lock}`); err != nil {
		return false, err
	}
	first, err := tx.number(ctx, `SELECT oldest FROM {p}head WHERE id = 1`)
	p.First = first
	if err != nil || end <= first {
		return false, err
	}
	settled, err := tx.unsettled(ctx, end, p)
	if err != nil {
		return false, err
	}
	if !also {
		end = min(end, settled)
	}
	until := min(end, first+pruneStep)
	if until <= first {
		return false, nil
	}
	res, err := tx.conn.ExecContext(ctx, tx.j.sql(`DELETE FROM {p}log WHERE pos >= ? AND pos < ? AND pos NOT IN (SELECT pos FROM {p}aside)`), first, until)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return false, err
	}
	if err := tx.exec(ctx, `UPDATE {p}head SET oldest = ? WHERE id = 1`, until); err != nil {
		return false, err
	}
	p.Removed += n
	p.First = until
	return until < end, nil
}

// unsettled returns the first position before end that some subscriber has not settled, or end, and notes who.
func (tx *writeTx) unsettled(ctx context.Context, end int64, p *Pruned) (int64, error) {
	rows, err := tx.conn.QueryContext(ctx, tx.j.sql(`SELECT name, position FROM {p}subscriber WHERE position < ?`), end-1)
	if err != nil {
		return 0, err
	}
	defer rows.Close() //nolint:errcheck // Err tells
	least := end
	for rows.Next() {
		var name string
		var position int64
		if err := rows.Scan(&name, &position); err != nil {
			return 0, err
		}
		p.HeldBy[name] = end - 1 - position
		least = min(least, position+1)
	}
	return least, rows.Err()
}
