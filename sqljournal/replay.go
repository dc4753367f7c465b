package sqljournal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/wire"
)

// Replay says what a subscriber is to be given again.
type Replay struct {
	// Subscriber is its name. It must be open in this process.
	Subscriber string
	// From is where to begin: jitney.FromBeginning() or jitney.FromTime; or else Position is.
	From     jitney.Start
	Position int64
	// Type and Key select events; "" and nil all.
	Type string
	Key  *string
	// SideEffects replays also to a subscriber made WithSideEffects.
	SideEffects bool
	// DryRun looks, and gives nothing again.
	DryRun bool
	// OnProgress is called after every 1,000 events that have been looked at, and at the end.
	OnProgress func(Replayed)
}

// Replayed says how far a replay has come.
type Replayed struct {
	// Looked is how many events have been looked at, Queued how many are to be given again, and Through the position
	// of the last one that was looked at: a replay that was interrupted goes on behind it.
	Looked, Queued, Through int64
}

// What Replay answers.
var (
	ErrNotOpen     = errors.New("subscriber is not open in this process")
	ErrSideEffects = errors.New("subscriber has side effects that cannot be taken back")
)

// replayStep is how many events are looked at in one transaction.
const replayStep = 1000

// Replay gives a subscriber events again that it has settled, in their order, between those that are new, and nobody
// else. What it has not settled yet comes anyway. Its marks in the journal's Inbox are removed, but for those of
// business keys. What is to be given again is kept in the journal until it has been settled; Replaying counts it.
func (j *Journal) Replay(ctx context.Context, r Replay) (done Replayed, err error) {
	c, floor, err := j.replayable(r)
	if err == nil {
		err = c.replay(ctx, r, floor, &done)
	}
	if err != nil {
		return done, fmt.Errorf("sqljournal: replay to %s: %w", r.Subscriber, err)
	}
	return done, nil
}

func (j *Journal) replayable(r Replay) (c *cursor, floor int64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	c = j.cursors[r.Subscriber]
	beginning, t := r.From.At()
	switch {
	case c == nil || c.closed || j.d.Shared && !c.leased:
		return nil, 0, ErrNotOpen
	case c.sideEffects && !r.SideEffects:
		return nil, 0, ErrSideEffects
	case !beginning && t.IsZero() && r.Position <= 0:
		return nil, 0, errors.New("it has no beginning: give From or Position")
	case c.typ != "" && r.Type != "" && r.Type != c.typ:
		return nil, 0, fmt.Errorf("it takes %s, not %s", c.typ, r.Type)
	}
	return c, c.floor, nil
}

func (c *cursor) replay(ctx context.Context, r Replay, floor int64, done *Replayed) error {
	from, err := c.replayFrom(ctx, r)
	if err != nil {
		return err
	}
	done.Through = from - 1
	for done.Through < floor {
		records, err := c.j.read(ctx, `WHERE pos > ? AND pos <= ? ORDER BY pos LIMIT ?`, done.Through, floor, replayStep)
		if err != nil {
			return err
		}
		if len(records) == 0 {
			break
		}
		var chosen []*record
		for _, rec := range records {
			if ok, err := c.chooses(r, rec); err != nil {
				return err
			} else if ok {
				chosen = append(chosen, rec)
			}
		}
		if !r.DryRun && len(chosen) > 0 {
			if err := c.giveAgain(ctx, chosen); err != nil {
				return err
			}
		}
		done.Looked += int64(len(records))
		done.Queued += int64(len(chosen))
		done.Through = records[len(records)-1].pos
		if r.OnProgress != nil {
			r.OnProgress(*done)
		}
	}
	return nil
}

func (c *cursor) replayFrom(ctx context.Context, r Replay) (from int64, err error) {
	if beginning, t := r.From.At(); !beginning && t.IsZero() {
		return r.Position, nil
	}
	c.j.writing.Lock()
	defer c.j.writing.Unlock()
	err = c.j.tx(ctx, func(tx *writeTx) (err error) {
		from, err = tx.start(ctx, r.From)
		return err
	})
	return from + 1, err
}

// chooses reports whether rec is to be given again.
func (c *cursor) chooses(r Replay, rec *record) (bool, error) {
	if c.typ != "" && rec.typ != c.typ || r.Type != "" && rec.typ != r.Type {
		return false, nil
	}
	if r.Key == nil {
		return true, nil
	}
	var attributes map[string]string
	if err := json.Unmarshal([]byte(rec.attributes), &attributes); err != nil {
		return false, fmt.Errorf("position %d: %w", rec.pos, ErrCorrupt)
	}
	return attributes[wire.PartitionKey] == *r.Key, nil
}

// giveAgain puts records aside to be given again.
func (c *cursor) giveAgain(ctx context.Context, records []*record) error {
	c.j.writing.Lock()
	err := c.j.tx(ctx, func(tx *writeTx) error {
		for _, rec := range records {
			if err := tx.putAside(ctx, c.name, rec.pos, &aside{reason: asideReplay}); err != nil {
				return err
			}
			if err := tx.exec(ctx, `DELETE FROM {p}inbox WHERE subscriber = ? AND id = ?`, c.name, rec.id.String()); err != nil {
				return err
			}
		}
		return nil
	})
	c.j.writing.Unlock()
	if err != nil {
		return err
	}
	c.j.mu.Lock()
	c.look = true
	c.j.mu.Unlock()
	c.j.recent.poke()
	return nil
}

// Replaying returns how many events are to be given to a subscriber again and have not been settled.
func (j *Journal) Replaying(ctx context.Context, subscriber string) (n int64, err error) {
	row := j.db.QueryRowContext(ctx, j.sql(`SELECT COUNT(*) FROM {p}aside WHERE subscriber = ? AND reason = ?`), subscriber, asideReplay)
	if err := row.Scan(&n); err != nil {
		return 0, fmt.Errorf("sqljournal: replay to %s: %w", subscriber, err)
	}
	return n, nil
}
