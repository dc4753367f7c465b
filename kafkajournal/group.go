package kafkajournal

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// membership are the options of the client that is a member of the subscriber's group.
func (c *cursor) membership() []kgo.Opt {
	return []kgo.Opt{
		kgo.ConsumerGroup(c.group), kgo.ConsumeTopics(c.j.topic), kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.SessionTimeout(c.j.lease), kgo.HeartbeatInterval(min(3*time.Second, c.j.lease/5)), kgo.RebalanceTimeout(c.j.handover),
		kgo.OnPartitionsAssigned(c.assigned), kgo.OnPartitionsRevoked(c.revoked), kgo.OnPartitionsLost(c.lost),
		kgo.OnOffsetsFetched(c.committed), kgo.AdjustFetchOffsetsFn(c.load),
	}
}

// assigned takes note of the partitions that have become this process's. Where they begin is not known yet.
func (c *cursor) assigned(_ context.Context, _ *kgo.Client, added map[string][]int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, number := range added[c.j.topic] {
		c.parts[number] = &partition{number: number}
	}
	c.joined = true
	c.pokeLocked()
}

// committed takes note of what was committed together with the offsets that load is called with next.
func (c *cursor) committed(_ context.Context, _ *kgo.Client, r *kmsg.OffsetFetchResponse) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.metadata = make(map[int32]string)
	for _, g := range r.Groups {
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				if p.Metadata != nil {
					c.metadata[p.Partition] = *p.Metadata
				}
			}
		}
	}
	return nil
}

// load finds the places of partitions whose committed offsets are given, and says where to read on.
func (c *cursor) load(ctx context.Context, at map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	next := make(map[int32]kgo.Offset)
	places, err := c.places(ctx, at[c.j.topic])
	if err != nil {
		if ctx.Err() == nil {
			c.j.log.Error("kafkajournal: a subscriber's place cannot be read, will try again",
				slog.String("subscriber", c.name), slog.String("error", err.Error()))
		}
		return nil, fmt.Errorf("kafkajournal: place of %s: %w", c.name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for number, found := range places {
		if p := c.parts[number]; p != nil {
			found.enter(p, c.window)
			next[number] = kgo.NewOffset().At(found.floor)
		}
	}
	c.pokeLocked()
	return map[string]map[int32]kgo.Offset{c.j.topic: next}, nil
}

// revoked gives partitions back that are to be another process's.
func (c *cursor) revoked(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	c.give(gone[c.j.topic], true)
}

// lost gives up partitions that are another process's already.
func (c *cursor) lost(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	c.mu.Lock()
	c.joined = false
	c.mu.Unlock()
	c.give(gone[c.j.topic], false)
}

// give takes back what is in flight of partitions, and stores what has been settled of them if they are still ours.
func (c *cursor) give(numbers []int32, ours bool) {
	leaving, flying, patient := c.takeLeave(numbers)
	if len(leaving) == 0 {
		return
	}
	defer c.forget(leaving)
	ctx, cancel := context.WithTimeout(patient, c.j.handover*3/4)
	defer cancel()
	c.recall(ctx, leaving, flying)
	if ours {
		if err := c.flush(ctx, leaving, true); err != nil {
			c.j.log.Error("kafkajournal: what was settled of partitions that are given away is not stored; some of it will be handled again",
				slog.String("subscriber", c.name), slog.String("error", err.Error()))
		}
	}
}

// takeLeave ends giving entries from partitions, and returns what is in flight of them, and who waits for that.
func (c *cursor) takeLeave(numbers []int32) (leaving []*partition, flying []int64, patient context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, number := range numbers {
		p := c.parts[number]
		switch {
		case p == nil:
			continue
		case p.place == nil || c.stored:
			delete(c.parts, number)
			signal(c.roomier)
			continue
		}
		p.leaving, p.queue, p.bytes, p.asides = true, nil, 0, nil
		signal(c.roomier)
		c.recalls++
		leaving = append(leaving, p)
		if c.closed {
			continue // what is in flight will not be settled
		}
		for _, behind := range p.place.Flying() {
			flying = append(flying, position(number, behind))
		}
	}
	return leaving, flying, c.patient
}

// withoutRecall is how long what is in flight may take to be settled if nobody can be asked to take it back.
const withoutRecall = 5 * time.Second

// recall takes back what is in flight.
func (c *cursor) recall(ctx context.Context, leaving []*partition, flying []int64) {
	if len(flying) == 0 {
		return
	}
	var err error
	if c.d.Recall != nil {
		err = c.d.Recall(ctx, flying...)
	} else {
		ctx, cancel := context.WithTimeout(ctx, withoutRecall)
		defer cancel()
		err = c.awaitIdle(ctx, leaving)
	}
	if err != nil {
		c.j.log.Warn("kafkajournal: handlers run on for partitions that are given away",
			slog.String("subscriber", c.name), slog.Int("entries", len(flying)), slog.String("error", err.Error()))
	}
}

// awaitIdle waits until nothing of the partitions is in flight.
func (c *cursor) awaitIdle(ctx context.Context, leaving []*partition) error {
	for {
		c.mu.Lock()
		idle := !slices.ContainsFunc(leaving, func(p *partition) bool { return len(p.place.Flying()) > 0 })
		grown := c.grown
		c.mu.Unlock()
		if idle {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// forget ends the account of partitions.
func (c *cursor) forget(gone []*partition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var paused []int32
	for _, p := range gone {
		delete(c.parts, p.number)
		if p.paused {
			paused = append(paused, p.number)
		}
	}
	if len(paused) > 0 {
		c.client.ResumeFetchPartitions(map[string][]int32{c.j.topic: paused})
	}
	c.pokeLocked()
}
