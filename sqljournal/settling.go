package sqljournal

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/jitney-go/jitney"
)

// When what subscribers have settled is written: together with events, or after so long or so many.
const (
	flushAfter = 50 * time.Millisecond
	flushCount = 64
)

// rise moves the floor up as far as everything is settled. Called with j.mu held.
func (c *cursor) rise() {
	n := 0
	for n < len(c.out) && c.settled[c.out[n]] {
		delete(c.settled, c.out[n])
		n++
	}
	c.out = slices.Delete(c.out, 0, n)
	if len(c.out) == 0 {
		c.floor = c.through
	} else {
		c.floor = c.out[0] - 1
	}
}

// Settle implements [jitney.Cursor].
func (c *cursor) Settle(position int64, o jitney.Outcome) {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	if c.closed {
		return
	}
	switch {
	case c.waiting[position] && o == jitney.Settled:
		delete(c.waiting, position)
		c.aside[position] = nil
	case c.waiting[position]:
	case !c.isOut(position):
		return // it has been settled before
	default:
		if o == jitney.Unknown {
			c.aside[position] = &aside{reason: asideUnknown}
		}
		c.settled[position] = true
		if c.out[0] == position {
			c.rise()
		}
		c.catchUp()
	}
	c.survived(position)
	c.touch()
}

// touch notes that there is something to be written. Called with j.mu held.
func (c *cursor) touch() {
	if c.changed++; c.changed == 1 {
		c.since = time.Now()
		c.j.wake()
	} else if c.changed == flushCount {
		c.j.wake()
	}
}

// change is what is to be written of a cursor.
type change struct {
	c     *cursor
	n     int
	floor int64
	ahead []byte
	aside map[int64]*aside
	last  bool // the cursor is being closed
	lost  bool // the place has become another process's meanwhile
}

// changes returns what is to be written: all there is, or what is due.
func (j *Journal) changes(all bool) (list []*change) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, c := range j.cursors {
		if c.writing || c.closed {
			continue
		}
		due := c.changed > 0 && (all || c.changed >= flushCount || time.Since(c.since) >= flushAfter)
		if due || !c.passed.IsZero() && time.Since(c.passed) >= flushAfter {
			list = append(list, c.change())
		}
	}
	return list
}

// change takes what is to be written of c. Called with j.mu held.
func (c *cursor) change() *change {
	ch := &change{c: c, n: c.changed, floor: c.floor, aside: c.aside}
	var ahead []int64
	for pos := range c.settled {
		ahead = append(ahead, pos)
	}
	for pos := range c.ahead {
		ahead = append(ahead, pos)
	}
	ch.ahead = writeAhead(c.floor, ahead)
	c.aside, c.changed, c.writing = make(map[int64]*aside), 0, true
	c.passed = time.Time{}
	return ch
}

func (ch *change) write(ctx context.Context, tx *writeTx) error {
	if tx.j.d.Shared {
		ours, err := ch.c.isOurs(ctx, tx)
		ch.lost = err == nil && !ours // who cannot be told has not lost it
		if err != nil || !ours {
			return err
		}
	}
	crc := ch.c.sum(ch.floor, ch.ahead)
	if err := tx.exec(ctx, `UPDATE {p}subscriber SET position = ?, ahead = ?, crc = ? WHERE name = ?`, ch.floor, ch.ahead, int64(crc), ch.c.name); err != nil {
		return err
	}
	if ch.last {
		if err := tx.exec(ctx, `UPDATE {p}subscriber SET owner = NULL, clean = 1, suspect = 0, deaths = 0 WHERE name = ?`, ch.c.name); err != nil {
			return err
		}
	}
	for pos, a := range ch.aside {
		if err := tx.putAside(ctx, ch.c.name, pos, a); err != nil {
			return err
		}
	}
	return nil
}

// flushed is called when ch has been written, or not.
func (ch *change) flushed(err error) {
	c := ch.c
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	defer c.j.written.Broadcast()
	c.writing = false
	if ch.lost {
		c.forget()
	}
	if err == nil || ch.lost {
		return
	}
	for pos, put := range ch.aside {
		if _, newer := c.aside[pos]; !newer {
			c.aside[pos] = put
		}
	}
	if c.changed == 0 {
		c.since = time.Now()
	}
	c.changed += ch.n
	if ch.n == 0 {
		c.passed = time.Now()
	}
}

// flushIn says when settlements are due to be written next, or the outbox to be looked at.
func (j *Journal) flushIn() time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	wait := j.poll - time.Since(j.moved)
	for _, c := range j.cursors {
		if c.changed > 0 && !c.writing {
			wait = min(wait, flushAfter-time.Since(c.since))
		}
		if !c.passed.IsZero() && !c.writing {
			wait = min(wait, flushAfter-time.Since(c.passed))
		}
	}
	return max(wait, time.Millisecond)
}

// writeAhead writes positions above floor: the distance of each to the one before, as uvarints.
func writeAhead(floor int64, positions []int64) []byte {
	slices.Sort(positions)
	var b []byte
	for _, pos := range positions {
		b = binary.AppendUvarint(b, uint64(pos-floor))
		floor = pos
	}
	return b
}

func readAhead(floor int64, b []byte) (map[int64]bool, error) {
	positions := make(map[int64]bool)
	for len(b) > 0 {
		d, n := binary.Uvarint(b)
		if n <= 0 || d == 0 || d > 1<<40 {
			return nil, fmt.Errorf("%w: what it has settled ahead of position %d", ErrCorrupt, floor)
		}
		floor += int64(d)
		positions[floor] = true
		b = b[n:]
	}
	return positions, nil
}
