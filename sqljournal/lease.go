package sqljournal

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"time"

	"github.com/jitney-go/jitney"
)

// Where several processes share a database, a subscriber's place belongs to one of them at a time: to whoever has
// written its token beside it. The lease runs out, by the database's clock, when its owner is dead; the others ask for
// it in turns meanwhile, and go on from what the owner has settled. Whoever has lost it writes nothing more.

// ensure makes the subscriber's row if it is not there.
func (c *cursor) ensure(ctx context.Context, from jitney.Start) error {
	ctx, cancel := c.j.patiently(ctx)
	defer cancel()
	for attempt := 0; ; attempt++ {
		var n int
		err := c.j.db.QueryRowContext(ctx, c.j.sql(`SELECT 1 FROM {p}subscriber WHERE name = ?`), c.name).Scan(&n)
		if isNoRows(err) {
			_, err = c.create(ctx, from)
		}
		if err == nil || attempt == 3 || c.j.d.Classify(err) != Duplicate && c.j.d.Classify(err) != Busy {
			return err
		}
	}
}

// hold waits until the place is this process's. The first time that it is another's it says so, and does not wait.
func (c *cursor) hold(ctx context.Context) (elsewhere bool, err error) {
	for {
		if c.held() {
			return false, nil
		}
		got, err := c.acquire(ctx)
		if err != nil {
			return false, fmt.Errorf("sqljournal: lease of %s: %w", c.name, err)
		}
		if got {
			break
		}
		if !c.standby {
			c.standby = true
			return true, nil
		}
		t := time.NewTimer(min(max(c.j.poll, 100*time.Millisecond), c.j.lease/3))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return false, context.Cause(ctx)
		}
	}
	if err := c.load(ctx, jitney.Start{}); err != nil {
		return false, fmt.Errorf("sqljournal: open %s: %w", c.name, err)
	}
	c.begun, c.standby = false, false
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	c.leased = true
	return false, nil
}

func (c *cursor) held() bool {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	return c.leased
}

func (c *cursor) acquire(ctx context.Context) (got bool, err error) {
	ctx, cancel := c.j.patiently(ctx)
	defer cancel()
	res, err := c.j.db.ExecContext(ctx, c.j.sql(`UPDATE {p}subscriber SET owner = ?, lease_until = {now} + ? `+
		`WHERE name = ? AND (owner IS NULL OR owner = ? OR lease_until < {now})`), c.j.token, c.j.lease.Milliseconds(), c.name, c.j.token)
	if err != nil {
		return false, err
	}
	return c.changedOurs(ctx, res)
}

// changedOurs reports whether a statement has changed the place of this process. MySQL does not count a row that was as
// it is to be already.
func (c *cursor) changedOurs(ctx context.Context, res sql.Result) (bool, error) {
	n, err := res.RowsAffected()
	if err != nil || n == 1 {
		return n == 1, err
	}
	var one int
	err = c.j.db.QueryRowContext(ctx, c.j.sql(`SELECT 1 FROM {p}subscriber WHERE name = ? AND owner = ? AND lease_until >= {now}`), c.name, c.j.token).Scan(&one)
	if isNoRows(err) {
		return false, nil
	}
	return err == nil, err
}

// write calls f in a transaction, in which the place is this process's: jitney.ErrInUse if it is another's.
func (c *cursor) write(ctx context.Context, f func(*writeTx) error) error {
	c.j.writing.Lock()
	defer c.j.writing.Unlock()
	ctx, cancel := c.j.patiently(ctx)
	defer cancel()
	return c.j.tx(ctx, func(tx *writeTx) error {
		if !c.j.d.Shared {
			return f(tx)
		}
		ours, err := c.isOurs(ctx, tx)
		if err == nil && !ours {
			err = fmt.Errorf("%w: the place is another process's", jitney.ErrInUse)
		}
		if err != nil {
			return err
		}
		return f(tx)
	})
}

// isOurs reports whether the place is still this process's, and sees to it that it is until the end of tx.
func (c *cursor) isOurs(ctx context.Context, tx *writeTx) (bool, error) {
	_, err := tx.number(ctx, `SELECT position FROM {p}subscriber WHERE name = ? AND owner = ?{lock}`, c.name, c.j.token)
	if isNoRows(err) {
		return false, nil
	}
	return err == nil, err
}

// forget drops what is known of a place that is another's now, and takes back what is in flight. Called with j.mu held.
func (c *cursor) forget() {
	c.recall()
	c.leased, c.changed, c.out, c.look, c.awaited = false, 0, nil, true, 0
	c.passed = time.Time{}
	clear(c.settled)
	clear(c.ahead)
	clear(c.aside)
	clear(c.waiting)
	c.j.recent.poke() // it may be waiting for events
	c.j.log.Warn("sqljournal: subscriber has become another process's", slog.String("subscriber", c.name))
}

// recall takes back what is in flight. Called with j.mu held.
func (c *cursor) recall() {
	var flying []int64
	for _, pos := range c.out {
		if !c.settled[pos] {
			flying = append(flying, pos)
		}
	}
	for pos := range c.waiting {
		flying = append(flying, pos)
	}
	if len(flying) == 0 || c.takeBack == nil || c.closed {
		return
	}
	before, freed := c.freed, make(chan struct{})
	c.freed = freed
	go func() {
		defer close(freed)
		if before != nil {
			<-before
		}
		_ = c.takeBack(context.Background(), flying...) // it ends with the handlers that run
	}()
}

// rest waits until nothing runs here any more of what was in flight when the place was lost: it is not to be given again
// before. It reports whether there was something to wait for.
func (c *cursor) rest(ctx context.Context) (bool, error) {
	c.j.mu.Lock()
	freed := c.freed
	c.j.mu.Unlock()
	if freed == nil {
		return false, nil
	}
	select {
	case <-freed:
	case <-ctx.Done():
		return true, context.Cause(ctx)
	}
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	if c.freed == freed {
		c.freed = nil
	}
	return true, nil
}

// renew lengthens the leases, until the journal is closed.
func (j *Journal) renew() {
	defer close(j.renewed)
	t := time.NewTicker(j.lease / 3)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-j.stop:
			return
		}
		for _, c := range j.leases() {
			ctx, cancel := context.WithTimeout(context.Background(), j.lease/3)
			got, err := c.acquireAgain(ctx)
			cancel()
			if err != nil {
				j.log.Error("sqljournal: lease not renewed, will try again", slog.String("subscriber", c.name), slog.String("error", err.Error()))
			} else if !got {
				j.lose(c)
			}
		}
	}
}

// releaseLeases lets other processes have all places at once, and not when the leases run out.
func (j *Journal) releaseLeases() {
	if !j.d.Shared || j.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), j.lease/3)
	defer cancel()
	if _, err := j.conn.ExecContext(ctx, j.sql(`UPDATE {p}subscriber SET owner = NULL WHERE owner = ?`), j.token); err != nil {
		j.log.Error("sqljournal: leases not released, they will run out", slog.String("error", err.Error()))
	}
}

func (c *cursor) acquireAgain(ctx context.Context) (bool, error) {
	res, err := c.j.db.ExecContext(ctx, c.j.sql(`UPDATE {p}subscriber SET lease_until = {now} + ? WHERE name = ? AND owner = ?`),
		c.j.lease.Milliseconds(), c.name, c.j.token)
	if err != nil {
		return false, err
	}
	return c.changedOurs(ctx, res)
}

func (j *Journal) leases() (list []*cursor) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, c := range j.cursors {
		if c.leased {
			list = append(list, c)
		}
	}
	return list
}

func (j *Journal) lose(c *cursor) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if c.leased && !c.closed {
		c.forget()
	}
}
