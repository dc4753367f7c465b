package sqljournal

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"math"
	"slices"

	"github.com/jitney-go/jitney"
)

// Why an event is put aside.
const (
	asideUnknown = 0 // this program could not decode it
	asideReplay  = 1 // it is to be given again
)

// fromAside returns the next of what is put aside, as far as this program can decode it.
func (c *cursor) fromAside(ctx context.Context, most int) (entries []jitney.Entry, err error) {
	c.j.mu.Lock()
	if c.look {
		c.look, c.scan, c.after = false, true, 0
	}
	c.j.mu.Unlock()
	for c.scan && len(entries) == 0 {
		records, reasons, err := c.j.readAside(ctx, c.name, c.after, most)
		if err != nil {
			return nil, fmt.Errorf("sqljournal: read for %s: %w", c.name, err)
		}
		if c.scan = len(records) > 0; !c.scan {
			break
		}
		c.after = records[len(records)-1].pos
		entries = c.decodable(records, reasons)
	}
	return entries, nil
}

// decodable returns the entries of records that are to be returned now.
func (c *cursor) decodable(records []*record, reasons []int) (entries []jitney.Entry) {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	for i, r := range records {
		e := r.entry(c.j.types)
		if e.Err != nil || c.waiting[r.pos] {
			continue
		}
		if _, raw := e.Envelope.Event.(jitney.RawEvent); raw && reasons[i] == asideUnknown {
			continue
		}
		c.waiting[r.pos] = true
		entries = append(entries, e)
	}
	return entries
}

// readAside returns what is put aside for a subscriber behind a position, and why.
func (j *Journal) readAside(ctx context.Context, name string, after int64, most int) (records []*record, reasons []int, err error) {
	rows, err := j.db.QueryContext(ctx, j.sql(`SELECT l.pos, l.id, l.type, l.at, l.attributes, l.data, l.crc, a.reason `+
		`FROM {p}aside a JOIN {p}log l ON l.pos = a.pos WHERE a.subscriber = ? AND a.pos > ? ORDER BY a.pos LIMIT ?`), name, after, max(most, 1))
	if err != nil {
		return nil, nil, err
	}
	if records, err = scan(rows); err != nil {
		return nil, nil, err
	}
	for _, r := range records { // the last column is the version elsewhere
		reasons = append(reasons, r.version)
	}
	return records, reasons, nil
}

// Next implements [jitney.Cursor].
func (c *cursor) Next(ctx context.Context, most int) ([]jitney.Entry, int64, error) {
	if c.j.d.Shared {
		elsewhere, err := c.hold(ctx)
		if err != nil {
			return nil, 0, err
		}
		if elsewhere { // nothing needs handling here, whatever comes
			return nil, math.MaxInt64, nil
		}
	}
	first := !c.begun
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
			if records, err = c.j.read(ctx, `WHERE pos >= ? ORDER BY pos LIMIT ?`, c.next, max(most, 1)); err != nil {
				return nil, 0, fmt.Errorf("sqljournal: read for %s: %w", c.name, err)
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

// pass returns the entries for this subscriber among records.
func (c *cursor) pass(records []*record) (entries []jitney.Entry) {
	for _, r := range records {
		if c.typ == "" || r.typ == c.typ || r.crc != r.sum() {
			entries = append(entries, r.entry(c.j.types))
		}
	}
	c.next = records[len(records)-1].pos + 1
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
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
	c.rise()
	return entries
}

// read returns the records that a clause selects.
func (j *Journal) read(ctx context.Context, clause string, args ...any) (records []*record, err error) {
	rows, err := j.db.QueryContext(ctx, j.sql(`SELECT pos, id, type, at, attributes, data, crc, 0 FROM {p}log `+clause), args...)
	if err != nil {
		return nil, err
	}
	return scan(rows)
}

func scan(rows *sql.Rows) (records []*record, err error) {
	defer rows.Close() //nolint:errcheck // Err tells
	var id sql.RawBytes
	for rows.Next() {
		r := &record{}
		if err := rows.Scan(&r.pos, &id, &r.typ, &r.at, &r.attributes, &r.data, &r.crc, &r.version); err != nil {
			return nil, err
		}
		copy(r.id[:], id)
		records = append(records, r)
	}
	return records, rows.Err()
}
