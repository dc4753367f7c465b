package sqljournal

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"

	"github.com/jitney-go/jitney"
)

// What a subscriber has not settled, and what must not hold up its position, is put aside: a row for each, below the
// floor. When the place is opened, and when something has been put there from outside, it is given before all that is
// new, in the order of the log: so a key keeps its order.

// aside is why an event is put aside.
type aside struct {
	reason   int
	progress *jitney.Progress // of asideWaits
}

const (
	asideUnknown = 0 // this program could not decode it
	asideReplay  = 1 // it is to be given again
	asideWaits   = 2 // it waits for another attempt
	asideLate    = 3 // it was being handled for so long that much had been settled meanwhile
	asideReasons = 4
)

// maxAhead is how many settlements above the floor are kept, at most; then what has not been settled for so long is put
// aside. They are written whole each time.
const maxAhead = 1024

// fromAside returns the next of what is put aside, as far as this program can decode it.
func (c *cursor) fromAside(ctx context.Context, most int) (entries []jitney.Entry, err error) {
	c.j.mu.Lock()
	if c.look {
		c.look, c.scan, c.after = false, true, 0
	}
	c.j.mu.Unlock()
	for c.scan && len(entries) == 0 {
		list, err := c.j.readAside(ctx, c.name, c.after, most)
		if err != nil {
			return nil, fmt.Errorf("sqljournal: read for %s: %w", c.name, err)
		}
		if c.scan = len(list) > 0; !c.scan {
			break
		}
		c.after = list[len(list)-1].pos
		entries = c.decodable(list)
	}
	return entries, nil
}

// decodable returns the entries of list that are to be returned now.
func (c *cursor) decodable(list []*putAside) (entries []jitney.Entry) {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	if c.j.d.Shared && !c.leased {
		return nil
	}
	for _, r := range list {
		e := r.entry(c.j.types)
		if e.Err != nil || c.waiting[r.pos] {
			continue
		}
		if _, raw := e.Envelope.Event.(jitney.RawEvent); raw && r.reason == asideUnknown {
			continue
		}
		e.Progress = r.progress(c)
		c.waiting[r.pos] = true
		entries = append(entries, e)
	}
	return entries
}

// putAside is a record that is put aside.
type putAside struct {
	*record
	reason int
	note   sql.NullString // how far it has come
}

// progress reads the note. If it is damaged the delivery begins anew.
func (p *putAside) progress(c *cursor) *jitney.Progress {
	if !p.note.Valid {
		return nil
	}
	progress := new(jitney.Progress)
	if err := json.Unmarshal([]byte(p.note.String), progress); err != nil {
		c.j.log.Error("sqljournal: how far a delivery had come cannot be read, it begins anew",
			slog.String("subscriber", c.name), slog.Int64("position", p.pos))
		return nil
	}
	return progress
}

// readAside returns what is put aside for a subscriber behind a position.
func (j *Journal) readAside(ctx context.Context, name string, after int64, most int) (list []*putAside, err error) {
	ctx, cancel := j.patiently(ctx)
	defer cancel()
	rows, err := j.db.QueryContext(ctx, j.sql(`SELECT `+recordColumns+`, reason, progress `+
		`FROM {p}aside JOIN {p}log USING (pos) WHERE subscriber = ? AND pos > ? ORDER BY pos LIMIT ?`), name, after, max(most, 1))
	if err != nil {
		return nil, err
	}
	_, err = scan(rows, func(r *record) []any {
		p := &putAside{record: r}
		list = append(list, p)
		return []any{&p.reason, &p.note}
	})
	return list, err
}

// putAside writes why an event is put aside, or, if a is nil, that it is no longer.
func (tx *writeTx) putAside(ctx context.Context, subscriber string, pos int64, a *aside) error {
	if err := tx.exec(ctx, `DELETE FROM {p}aside WHERE subscriber = ? AND pos = ?`, subscriber, pos); err != nil || a == nil {
		return err
	}
	var note sql.NullString
	if a.progress != nil {
		text, err := json.Marshal(a.progress)
		if err != nil {
			return err
		}
		note = sql.NullString{String: string(text), Valid: true}
	}
	return tx.exec(ctx, `INSERT INTO {p}aside (subscriber, pos, reason, progress) VALUES (?, ?, ?, ?)`, subscriber, pos, a.reason, note)
}

// Postpone implements [jitney.Cursor].
func (c *cursor) Postpone(position int64, p jitney.Progress) {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	if c.closed || !c.waiting[position] && !c.isOut(position) {
		return
	}
	c.putAside(position, &aside{asideWaits, &p})
	c.rise()
	c.survived(position)
	c.touch()
}

// isOut reports whether a position is above the floor and not settled. Called with j.mu held.
func (c *cursor) isOut(position int64) bool {
	_, is := slices.BinarySearch(c.out, position)
	return is && !c.settled[position]
}

// putAside has a position put aside at the next write. To the floor it is settled. Called with j.mu held.
func (c *cursor) putAside(position int64, a *aside) {
	if !c.waiting[position] {
		c.waiting[position] = true
		c.settled[position] = true
	}
	c.aside[position] = a
}

// catchUp puts aside what keeps the floor far behind. Called with j.mu held.
func (c *cursor) catchUp() {
	n := len(c.settled) + len(c.ahead)
	if n <= maxAhead {
		return
	}
	for _, pos := range c.out {
		if n <= maxAhead/2 {
			break
		}
		if c.settled[pos] {
			n--
		} else {
			c.putAside(pos, &aside{reason: asideLate})
		}
	}
	c.rise()
}
