package sqljournal

import (
	"context"
	"fmt"
	"runtime"
	"sync"
)

// How a subscriber reads the log that is behind the newest: a stretch at a time, the next one while it has the one
// before, and the events are decoded while their rows still come in.

// fetch is a stretch of the log, which is being read until done is closed.
type fetch struct {
	from    int64
	records []*record
	err     error
	done    chan struct{}
}

// What one fetch reads at most, and what is decoded at a time.
const (
	fetchCount = 512
	fetchBytes = 4 << 20
	fetchChunk = 32
)

// fromLog returns the records from c.next on, at most so many; none if there are none up to end.
func (c *cursor) fromLog(ctx context.Context, most int, end int64) ([]*record, error) {
	if len(c.fetched) == 0 || c.fetched[0].pos != c.next {
		f := c.fetching
		if f == nil || f.from != c.next {
			if f = c.fetch(ctx, c.next); f == nil {
				return nil, ErrClosed
			}
			c.fetching = f
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		c.fetched, c.fetching = f.records, nil
		if f.err != nil || len(f.records) == 0 {
			return nil, f.err
		}
		if last := f.records[len(f.records)-1].pos; last < end {
			c.fetching = c.fetch(ctx, last+1)
		}
	}
	n := min(max(most, 1), len(c.fetched))
	records := c.fetched[:n:n]
	c.fetched = c.fetched[n:]
	return records, nil
}

// fetch begins to read the log from a position on; nil if the journal is closed. It outlives ctx, and ends soon.
func (c *cursor) fetch(ctx context.Context, from int64) *fetch {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	if c.j.closed {
		return nil
	}
	f := &fetch{from: from, done: make(chan struct{})}
	c.j.fetches.Go(func() {
		defer close(f.done)
		f.records, f.err = c.readAhead(context.WithoutCancel(ctx), from)
	})
	return f
}

// readAhead reads a stretch of the log, and decodes what is for this subscriber.
func (c *cursor) readAhead(ctx context.Context, from int64) (records []*record, err error) {
	ctx, cancel := c.j.patiently(ctx)
	defer cancel()
	rows, err := c.j.db.QueryContext(ctx, c.j.sql(`SELECT `+recordColumns+` FROM {p}log WHERE pos >= ? ORDER BY pos LIMIT ?`), from, fetchCount)
	if err != nil {
		return nil, fmt.Errorf("sqljournal: read for %s: %w", c.name, err)
	}
	chunks := make(chan []*record, fetchCount/fetchChunk+1)
	decode := func() {
		for chunk := range chunks {
			for _, r := range chunk {
				if c.typ == "" || r.typ == c.typ {
					r.entry(c.j.types)
				}
			}
		}
	}
	var helpers sync.WaitGroup
	defer helpers.Wait()
	for range min(runtime.GOMAXPROCS(0)-1, 2) {
		helpers.Go(decode)
	}
	records = make([]*record, 0, fetchCount)
	sent, size := 0, 0
	err = eachRecord(rows, nil, func(r *record) bool {
		records = append(records, r)
		if len(records)-sent == fetchChunk {
			chunks <- records[sent:]
			sent = len(records)
		}
		size += r.size()
		return size < fetchBytes
	})
	chunks <- records[sent:]
	close(chunks)
	if err != nil {
		return nil, fmt.Errorf("sqljournal: read for %s: %w", c.name, err)
	}
	decode()
	return records, nil
}
