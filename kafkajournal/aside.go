package kafkajournal

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/internal/place"
)

// What a subscriber has not settled, and what must not hold up its position, is put aside: a note for each in the table
// of places. When a partition is taken over it is given before all that is new, in order: so a key keeps its order.

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
		if p.leaving || len(p.asides) == 0 || c.closed || c.recalls != c.asked {
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
