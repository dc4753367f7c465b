package kafkajournal

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/internal/place"
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
	for {
		if ctx.Err() != nil {
			return nil, 0, context.Cause(ctx)
		}
		c.mu.Lock()
		grown, closed := c.grown, c.closed
		c.mu.Unlock()
		if closed {
			return nil, 0, fmt.Errorf("kafkajournal: read for %s: %w", c.name, ErrClosed)
		}
		entries, err := c.look(ctx, most)
		if err != nil {
			return nil, 0, err
		}
		through := c.through()
		if first || len(entries) > 0 || through != c.said {
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
	for _, r := range c.fromLog(most) {
		entries = append(entries, c.j.entry(r))
	}
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
		case c.closed || len(records) >= most:
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

// fromAside returns the next of what is put aside, as far as this program can decode it.
func (c *cursor) fromAside(ctx context.Context, most int) ([]jitney.Entry, error) {
	for {
		p, wanted := c.nextAside(most)
		if len(wanted) == 0 {
			return nil, nil
		}
		records, err := c.j.fetch(ctx, p.number, wanted)
		if err != nil {
			return nil, fmt.Errorf("kafkajournal: read for %s: %w", c.name, err)
		}
		if entries := c.giveAside(p, wanted, records); len(entries) > 0 || c.pending != nil {
			if c.pending != nil {
				return c.confirm(ctx)
			}
			return entries, nil
		}
	}
}

// nextAside is what of a partition is to be read next, of what is put aside.
func (c *cursor) nextAside(most int) (*partition, []int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.inTurn() {
		if p.leaving || len(p.asides) == 0 || c.closed {
			continue
		}
		if p.recovery.left == 0 {
			return p, slices.Clone(p.asides[:min(most, len(p.asides))])
		}
		if p.recovery.may() {
			return p, p.asides[:1:1]
		}
	}
	return nil, nil
}

// giveAside returns the entries of records that were put aside, if the partition is still ours.
func (c *cursor) giveAside(p *partition, wanted []int64, records map[int64]*kgo.Record) (entries []jitney.Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.parts[p.number] != p || p.leaving || c.closed {
		return nil
	}
	p.asides = p.asides[len(wanted):]
	for _, offset := range wanted {
		r, n := records[offset], c.note(p.number, offset)
		if r == nil {
			c.missed(p.number, offset, offset+1)
			if p.place.GiveAside(offset+1) && p.place.Settle(offset+1, jitney.Settled) {
				c.touch(p)
			}
			continue
		}
		e := c.j.entry(r)
		if e.Err != nil || n.Reason == place.Unknown && isRaw(e) || !p.place.GiveAside(offset+1) {
			continue
		}
		e.Progress = n.Progress
		if p.recovery.left > 0 {
			c.suspect(p, e)
			return nil
		}
		entries = append(entries, e)
	}
	return entries
}

func isRaw(e jitney.Entry) bool {
	_, raw := e.Envelope.Event.(jitney.RawEvent)
	return raw
}

// far is how many records are read over rather than a client moved.
const far = 1000

// fetch returns the records at offsets, which are in order. One that has been removed is not among them.
func (j *Journal) fetch(ctx context.Context, number int32, offsets []int64) (map[int64]*kgo.Record, error) {
	found := make(map[int64]*kgo.Record)
	starts, err := j.starts(ctx)
	if err != nil {
		return nil, err
	}
	there, _ := slices.BinarySearch(offsets, starts.at(int(number)))
	offsets = offsets[there:]
	for len(offsets) > 0 {
		n := 1
		for n < len(offsets) && offsets[n] < offsets[n-1]+far {
			n++
		}
		wanted := slices.Clone(offsets[:n])
		offsets = offsets[n:]
		from := map[int32]int64{number: wanted[0]}
		err := j.read(ctx, from, func(r *kgo.Record) {
			if slices.Contains(wanted, r.Offset) {
				found[r.Offset] = r
			}
			if r.Offset >= wanted[n-1] {
				maps.DeleteFunc(from, func(int32, int64) bool { return true })
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}
