package kafkajournal

import (
	"context"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jitney-go/jitney/internal/place"
)

// partition is one that is this process's: its account, and what was fetched of it. A position in its account is the
// offset behind an event. It is guarded by the cursor's mu.
type partition struct {
	number   int32
	place    *place.Place // nil until it has been found
	queue    []*kgo.Record
	bytes    int   // of queue
	next     int64 // the offset that is to be fetched next
	asides   []int64
	paused   bool // too much of it is in queue, and does not flow
	leaving  bool // it is to be another process's
	mark     mark // as it was written last
	recovery recovery
}

// How much of a partition is kept that was fetched and not given.
const (
	maxQueued      = 2048
	maxQueuedBytes = 4 << 20
)

// pump fetches events into the partitions' queues. It does not poll while they are full: what the client has fetched
// waits there.
func (c *cursor) pump() {
	for c.awaitRoom() {
		fetches := c.client.PollRecords(c.life, maxQueued)
		if fetches.IsClientClosed() || c.life.Err() != nil {
			return
		}
		fetches.EachError(c.unreadable)
		c.fill(fetches)
		c.client.AllowRebalance()
	}
}

// awaitRoom waits until no queue is full that Next takes from, and reports whether that is so before the cursor ends.
func (c *cursor) awaitRoom() bool {
	for {
		c.mu.Lock()
		full := false
		for _, p := range c.parts {
			full = full || p.flows() && p.full(1)
		}
		c.mu.Unlock()
		if !full {
			return c.life.Err() == nil
		}
		select {
		case <-c.roomier:
		case <-c.life.Done():
			return false
		}
	}
}

// full reports whether so great a part of what p may have is in its queue. Called with the cursor's mu held.
func (p *partition) full(part int) bool {
	return len(p.queue) >= maxQueued/part || p.bytes >= maxQueuedBytes/part
}

// flows reports whether Next takes all that is in p's queue, as it is asked for it. Called with the cursor's mu held.
func (p *partition) flows() bool { return !p.leaving && len(p.asides) == 0 && p.recovery.left == 0 }

func (c *cursor) unreadable(_ string, number int32, err error) {
	if c.strange++; c.strange&(c.strange-1) == 0 {
		c.j.log.Error("kafkajournal: a partition cannot be read, will try again", slog.String("subscriber", c.name),
			slog.Int64("partition", int64(number)), slog.Int("times", c.strange), slog.String("error", err.Error()))
	}
}

// fill puts what was fetched into the queues, and has no more fetched of those that are full and do not flow, so that the
// others do not wait for them.
func (c *cursor) fill(fetches kgo.Fetches) {
	gaps := make(map[int32][2]int64)
	c.mu.Lock()
	fetches.EachPartition(func(ft kgo.FetchTopicPartition) {
		p := c.parts[ft.Partition]
		if p == nil || p.place == nil || p.leaving || len(ft.Records) == 0 {
			return
		}
		if first := ft.Records[0].Offset; first > p.next {
			gaps[p.number] = [2]int64{p.next, first}
		}
		for _, r := range ft.Records {
			if r.Offset >= p.next {
				p.queue, p.bytes, p.next = append(p.queue, r), p.bytes+size(r), r.Offset+1
			}
		}
		if !p.paused && !p.flows() && p.full(1) {
			p.paused = true
			c.client.PauseFetchPartitions(map[string][]int32{c.j.topic: {p.number}})
		}
	})
	c.pokeLocked()
	c.mu.Unlock()
	c.explain(gaps)
}

// explain says which of the gaps have been torn by the removal of events: others are of transactions that were aborted.
func (c *cursor) explain(gaps map[int32][2]int64) {
	if len(gaps) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(c.life, patience)
	defer cancel()
	starts, err := c.j.starts(ctx)
	for number, gap := range gaps {
		if err != nil || starts.at(int(number)) > gap[0] {
			c.missed(number, gap[0], gap[1])
		}
	}
}

// take returns the next records of p that are to be given. Called with the cursor's mu held.
func (c *cursor) take(p *partition, most int) (records []*kgo.Record) {
	n := 0
	for ; n < len(p.queue) && len(records) < most; n++ {
		r := p.queue[n]
		p.bytes -= size(r)
		p.queue[n] = nil
		switch behind := r.Offset + 1; {
		case r.Attrs.IsControl() || !isFor(c.d.Type, r):
			p.place.Pass(behind)
		case p.place.Give(behind):
			records = append(records, r)
		}
	}
	p.queue = p.queue[n:]
	if n > 0 && p.place.Changed() > 0 {
		c.touch(p)
	}
	if !p.full(2) {
		signal(c.roomier)
		if p.paused {
			p.paused = false
			c.client.ResumeFetchPartitions(map[string][]int32{c.j.topic: {p.number}})
		}
	}
	return records
}
