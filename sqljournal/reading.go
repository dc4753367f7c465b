package sqljournal

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/jitney-go/jitney"
)

// Next implements [jitney.Cursor].
func (c *cursor) Next(ctx context.Context, most int) ([]jitney.Entry, int64, error) {
	if c.j.d.Shared {
		if rested, err := c.rest(ctx); err != nil || rested {
			return nil, 0, err
		}
		elsewhere, err := c.hold(ctx)
		if err != nil {
			return nil, 0, err
		}
		if elsewhere { // nothing needs handling here, whatever comes
			return nil, math.MaxInt64, nil
		}
	}
	first := !c.begun
	if first {
		if err := c.tellHeld(ctx); err != nil {
			return nil, 0, err
		}
	}
	c.begun = true
	recovering := c.recovery.left > 0
	if recovering {
		if err := c.awaitLast(ctx); err != nil {
			return nil, 0, err
		}
		most = 1
	}
	for {
		entries, err := c.fromAside(ctx, most)
		if err != nil {
			return nil, 0, err
		}
		if len(entries) > 0 {
			return c.given(ctx, entries, recovering)
		}
		if ctx.Err() != nil {
			return nil, 0, context.Cause(ctx)
		}
		records, end, grown := c.j.recent.from(c.next, most)
		if len(records) == 0 && c.next <= end {
			if records, err = c.fromLog(ctx, most, end); err != nil {
				return nil, 0, err
			}
			if pruned, err := c.pruned(ctx, records); err != nil || pruned {
				if err != nil {
					return nil, 0, fmt.Errorf("sqljournal: read for %s: %w", c.name, err)
				}
				continue
			}
		}
		if n := int64(len(records)); n == 0 && c.next <= end || n > 0 && (records[0].pos != c.next || records[n-1].pos != c.next+n-1) {
			return nil, 0, fmt.Errorf("sqljournal: read for %s: %w: events are missing from position %d on", c.name, ErrCorrupt, c.next)
		}
		if len(records) > 0 {
			entries = c.pass(records)
			return c.given(ctx, entries, recovering)
		}
		if c.recovery.last > 0 {
			if err := c.recovered(ctx); err != nil {
				return nil, 0, err
			}
		}
		c.recovery.left = 0 // all that had been in flight has been given
		if first {
			return nil, c.next - 1, nil
		}
		if err := c.j.await(ctx, grown); err != nil {
			return nil, 0, err
		}
		if c.j.d.Shared {
			return nil, c.next - 1, nil // is it still ours?
		}
	}
}

// given returns entries from Next.
func (c *cursor) given(ctx context.Context, entries []jitney.Entry, recovering bool) ([]jitney.Entry, int64, error) {
	if recovering && len(entries) > 0 {
		if err := c.suspected(ctx, &entries[0]); err != nil {
			return nil, 0, err
		}
	}
	return entries, c.next - 1, nil
}

// pruned reports whether events that c has not read have been pruned. It goes on behind them then, and says so.
func (c *cursor) pruned(ctx context.Context, records []*record) (bool, error) {
	if len(records) > 0 && records[0].pos == c.next {
		return false, nil
	}
	ctx, cancel := c.j.patiently(ctx)
	defer cancel()
	var oldest int64
	if err := c.j.db.QueryRowContext(ctx, c.j.sql(`SELECT oldest FROM {p}head WHERE id = 1`)).Scan(&oldest); err != nil {
		return false, err
	}
	if oldest <= c.next {
		return false, nil
	}
	c.j.log.Error("sqljournal: events were pruned before their subscriber has had them",
		slog.String("subscriber", c.name), slog.Int64("from", c.next), slog.Int64("to", oldest-1))
	c.next = oldest
	return true, nil
}

// pass returns the entries for this subscriber among records; none if the place has been lost since hold.
func (c *cursor) pass(records []*record) (entries []jitney.Entry) {
	for _, r := range records {
		if c.typ == "" || r.typ == c.typ || r.crc != r.sum() {
			entries = append(entries, r.entry(c.j.types))
		}
	}
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	if c.j.d.Shared && !c.leased {
		return nil
	}
	c.next = records[len(records)-1].pos + 1
	entries = slices.DeleteFunc(entries, func(e jitney.Entry) bool {
		c.out = append(c.out, e.Position)
		if !c.ahead[e.Position] {
			return false
		}
		delete(c.ahead, e.Position)
		c.settled[e.Position] = true
		return true
	})
	c.through = c.next - 1
	floor := c.floor
	c.rise()
	if c.floor > floor && c.passed.IsZero() {
		c.passed = time.Now()
		c.j.wake()
	}
	return entries
}

// read returns the records that a clause selects.
func (j *Journal) read(ctx context.Context, clause string, args ...any) (records []*record, err error) {
	ctx, cancel := j.patiently(ctx)
	defer cancel()
	rows, err := j.db.QueryContext(ctx, j.sql(`SELECT `+recordColumns+` FROM {p}log `+clause), args...)
	if err != nil {
		return nil, err
	}
	return scan(rows, nil)
}

const recordColumns = `pos, id, type, at, attributes, data, crc`

// scan returns the records of rows, which have the recordColumns and, behind them, what more returns a place for.
func scan(rows *sql.Rows, more func(*record) []any) (records []*record, err error) {
	err = eachRecord(rows, more, func(r *record) bool {
		records = append(records, r)
		return true
	})
	return records, err
}

// eachRecord calls f with the records that scan returns, until it returns false.
func eachRecord(rows *sql.Rows, more func(*record) []any, f func(*record) bool) error {
	defer rows.Close() //nolint:errcheck // Err tells
	var id sql.RawBytes
	var crc int64
	for rows.Next() {
		r := &record{}
		var places [10]any // room enough for all that there is
		to := append(places[:0], &r.pos, &id, &r.typ, &r.at, &r.attributes, &r.data, &crc)
		if more != nil {
			to = append(to, more(r)...)
		}
		if err := rows.Scan(to...); err != nil {
			if !r.scanDamaged(rows, to) {
				return err
			}
			crc = -1
		}
		copy(r.id[:], id)
		if r.crc = uint32(crc); int64(r.crc) != crc {
			r.crc = ^r.sum() // which does not fit
		}
		if !f(r) {
			break
		}
	}
	return rows.Err()
}

// scanDamaged scans a row of which a column has no value that r has a place for: of the recordColumns, which to begins
// with, it takes the position and the ID. It reports whether that could be done.
func (r *record) scanDamaged(rows *sql.Rows, to []any) bool {
	r.typ, r.at, r.attributes, r.data = "", 0, "", nil
	for i := range 5 {
		to[2+i] = new(any)
	}
	return rows.Scan(to...) == nil
}
