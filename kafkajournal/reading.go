package kafkajournal

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jitney-go/jitney"
)

// Next implements [jitney.Cursor]. The first call waits until it is known which partitions are this process's.
func (c *cursor) Next(ctx context.Context, most int) ([]jitney.Entry, int64, error) {
	first := !c.begun
	if first {
		if err := c.await(ctx); err != nil {
			return nil, 0, err
		}
		c.begun = true
	}
	c.mu.Lock()
	c.asked = c.recalls
	c.mu.Unlock()
	for {
		if ctx.Err() != nil {
			return nil, 0, context.Cause(ctx)
		}
		c.mu.Lock()
		grown, closed, recalled := c.grown, c.closed, c.recalls != c.asked
		c.mu.Unlock()
		if closed {
			return nil, 0, fmt.Errorf("kafkajournal: read for %s: %w", c.name, ErrClosed)
		}
		entries, err := c.look(ctx, most)
		if err != nil {
			return nil, 0, err
		}
		through := c.through()
		if first || len(entries) > 0 || through != c.said || recalled { // what was recalled comes with the next call, if it does

			c.said = through
			return entries, through, nil
		}
		if err := c.sleep(ctx, grown); err != nil {
			return nil, 0, err
		}
	}
}

// await waits until the partitions and their places are known, and tells what holds the subscriber back.
func (c *cursor) await(ctx context.Context) error {
	for {
		c.mu.Lock()
		ready, grown := c.joined, c.grown
		for _, p := range c.parts {
			ready = ready && p.place != nil
		}
		ready = ready || c.closed
		c.mu.Unlock()
		if ready {
			break
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if c.d.Held == nil {
		return nil
	}
	h, err := c.j.places.held(c.name)
	if err != nil {
		return fmt.Errorf("kafkajournal: read for %s: %w", c.name, err)
	}
	c.d.Held(h)
	return nil
}

// sleep waits until there may be more.
func (c *cursor) sleep(ctx context.Context, grown <-chan struct{}) error {
	var late <-chan time.Time
	if c.recovering() {
		t := time.NewTimer(recoveryPatience / 5)
		defer t.Stop()
		late = t.C
	}
	select {
	case <-grown:
	case <-late:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// look returns the next entries, if there are any: those that are put aside first, and the partitions in turns.
func (c *cursor) look(ctx context.Context, most int) ([]jitney.Entry, error) {
	if c.pending != nil {
		return c.confirm(ctx)
	}
	entries, err := c.fromAside(ctx, most)
	if err != nil || len(entries) > 0 {
		return entries, err
	}
	entries = c.j.entries(c.fromLog(most))
	if c.pending != nil {
		return c.confirm(ctx)
	}
	return entries, nil
}

// fromLog returns the next records of the partitions in turns. One of a partition that is on its way back after a death
// is left pending.
func (c *cursor) fromLog(most int) (records []*kgo.Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.inTurn() {
		p.recovery.arrive(p)
		switch {
		case c.closed || len(records) >= most || c.recalls != c.asked:
			return records
		case p.leaving || len(p.asides) > 0:
		case p.recovery.left == 0:
			records = append(records, c.take(p, most-len(records))...)
		case len(records) == 0 && p.recovery.may():
			if one := c.take(p, 1); len(one) > 0 {
				c.suspect(p, c.j.entry(one[0]))
				return nil
			}
		}
	}
	return records
}

// inTurn are the partitions that are known, beginning with the one behind that which began last. Called with mu held.
func (c *cursor) inTurn() []*partition {
	list := c.mine()
	if len(list) == 0 {
		return nil
	}
	at, _ := slices.BinarySearchFunc(list, c.turn+1, func(p *partition, n int32) int { return int(p.number - n) })
	at %= len(list)
	c.turn = list[at].number
	return slices.Concat(list[at:], list[:at])
}

// through is how far the cursor has looked.
func (c *cursor) through() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	var v vector
	for number, p := range c.parts {
		v = v.or(make(vector, number+1))
		if p.place != nil && len(p.asides) == 0 {
			v[number] = p.place.Through()
		}
	}
	return c.j.horizon.through(v, func(number int) bool { return !c.joined || c.parts[int32(number)] != nil })
}
