package sqljournal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jitney-go/jitney"
)

// An event whose handler kills the process would kill it again at every start. So after a death a subscriber is given
// what may have been in flight one event at a time, each noted in the database before: if the process dies again, it is
// known of which. How often is told with the entry (jitney.Entry.Crashes); the bus makes a dead letter of it in the end.
//
// It costs a commit per event, for as many as a queue holds, after a death alone.

// recovery is a subscriber's way back after a death.
type recovery struct {
	left    int   // entries that may have been in flight; 0: it is over
	suspect int64 // what was in flight at the last death, if that was known
	deaths  int   // and at how many
	last    int64 // what was given last
	slow    bool  // that has had its time
}

// recoveryPatience is how long an entry that is neither settled nor postponed keeps the next one back: its handler may
// be slow, and the process does not die of that.
const recoveryPatience = 5 * time.Second

// begin notes that the place is open, and finds what is to be recovered from.
func (c *cursor) begin(ctx context.Context) error {
	var clean int
	r := &c.recovery
	*r = recovery{}
	row := c.j.db.QueryRowContext(ctx, c.j.sql(`SELECT clean, suspect, deaths FROM {p}subscriber WHERE name = ?`), c.name)
	if err := row.Scan(&clean, &r.suspect, &r.deaths); err != nil {
		return err
	}
	if clean == 0 {
		r.left = c.window
		c.j.log.Warn("sqljournal: a process has died with this subscriber open; what was in flight is given one by one",
			slog.String("subscriber", c.name))
		return nil
	}
	return c.note(ctx, `UPDATE {p}subscriber SET clean = 0 WHERE name = ?`, c.name)
}

// note executes a statement on its own.
func (c *cursor) note(ctx context.Context, statement string, args ...any) error {
	return c.write(ctx, func(tx *writeTx) error { return tx.exec(ctx, statement, args...) })
}

// awaitLast waits until what was given last is settled, or has had its time.
func (c *cursor) awaitLast(ctx context.Context) error {
	if c.recovery.last == 0 || c.recovery.slow {
		return nil
	}
	t := time.NewTimer(recoveryPatience)
	defer t.Stop()
	for {
		_, _, grown := c.j.recent.from(0, 0)
		if !c.inFlight(c.recovery.last) {
			return nil
		}
		select {
		case <-grown:
		case <-t.C:
			c.recovery.slow = true
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// recovered notes that the process has survived what was given last, so that it is not blamed for a later death.
func (c *cursor) recovered(ctx context.Context) error {
	if err := c.awaitLast(ctx); err != nil {
		return err
	}
	if c.inFlight(c.recovery.last) {
		return nil // it has had its time, and goes on
	}
	c.recovery = recovery{}
	if err := c.note(ctx, `UPDATE {p}subscriber SET suspect = 0, deaths = 0 WHERE name = ?`, c.name); err != nil {
		c.j.log.Error("sqljournal: what was survived cannot be noted", slog.String("subscriber", c.name), slog.String("error", err.Error()))
	}
	return nil
}

func (c *cursor) inFlight(pos int64) bool {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	return c.awaited == pos
}

// survived notes that the handler of what was given last has returned. Called with j.mu held.
func (c *cursor) survived(pos int64) {
	if c.awaited == pos {
		c.awaited = 0
		c.j.recent.poke()
	}
}

// suspected notes that e is in flight from now on. It tries until it is noted, or ctx ends.
func (c *cursor) suspected(ctx context.Context, e *jitney.Entry) error {
	r := &c.recovery
	r.left--
	r.last, r.slow = e.Position, false
	c.j.mu.Lock()
	c.awaited = e.Position
	c.j.mu.Unlock()
	deaths := 1
	if e.Position == r.suspect {
		deaths = r.deaths + 1
	}
	for times := 1; ; times++ {
		err := c.note(ctx, `UPDATE {p}subscriber SET suspect = ?, deaths = ? WHERE name = ?`, e.Position, deaths, c.name)
		if err == nil {
			break
		}
		if errors.Is(err, jitney.ErrInUse) {
			c.j.lose(c)
			return fmt.Errorf("sqljournal: read for %s: %w", c.name, err)
		}
		if times&(times-1) == 0 {
			c.j.log.Error("sqljournal: what is in flight cannot be noted, will try again",
				slog.String("subscriber", c.name), slog.String("error", err.Error()))
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	e.Crashes = deaths
	return nil
}
