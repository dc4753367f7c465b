package kafkajournal

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/jitney-go/jitney/internal/place"
)

// When what was settled is stored: so long after the first of it, or so many later.
const (
	flushAfter = 50 * time.Millisecond
	flushCount = 64
)

// maxMetadata is how much may be committed with an offset: Kafka's default.
const maxMetadata = 4096

// store stores what is settled, until the cursor is closed.
func (c *cursor) store() {
	for failures := 0; ; {
		select {
		case <-c.dirty:
		case <-c.life.Done():
			return
		}
		wait := time.NewTimer(flushAfter)
		select {
		case <-wait.C:
		case <-c.full:
		case <-c.life.Done():
		}
		wait.Stop()
		if c.life.Err() != nil {
			return // Close stores the rest
		}
		if err := c.storeChanges(); err == nil {
			failures = 0
		} else if failures++; failures&(failures-1) == 0 && c.life.Err() == nil {
			c.j.log.Error("kafkajournal: what was settled cannot be stored, will try again",
				slog.String("subscriber", c.name), slog.Int("times", failures), slog.String("error", err.Error()))
		}
	}
}

// storeChanges stores what has changed. If that fails there is something to be stored still.
func (c *cursor) storeChanges() error {
	c.mu.Lock()
	var changed []*partition
	for _, p := range c.mine() {
		if p.place.Changed() > 0 && !p.leaving {
			changed = append(changed, p)
		}
	}
	c.mu.Unlock()
	if len(changed) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(c.life, patience)
	defer cancel()
	err := c.flush(ctx, changed, false)
	if err != nil {
		signal(c.dirty)
	}
	return err
}

// change is what is to be stored of a partition.
type change struct {
	p *partition
	place.Changes
	ahead []byte
	mark  *mark // if that is to be written
}

// flush stores what was settled of partitions; last, also that no process has them any more.
func (c *cursor) flush(ctx context.Context, list []*partition, last bool) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	changes := c.changes(list)
	if len(changes) == 0 {
		return nil
	}
	err := c.write(ctx, changes, last)
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, ch := range changes {
			ch.p.place.Failed(ch.Changes)
		}
	}
	return err
}

func (c *cursor) changes(list []*partition) (changes []change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range list {
		if c.parts[p.number] == p {
			changes = append(changes, p.changes())
		}
	}
	return changes
}

// changes is what is to be stored of p. Called with the cursor's mu held.
func (p *partition) changes() change {
	ch := change{p: p, Changes: p.place.Changes()}
	ch.ahead = place.AppendAhead(nil, ch.Floor, ch.Ahead)
	if over := p.recovery.over(); ch.long() || over {
		m := p.mark
		if ch.long() {
			m.Floor, m.Ahead = ch.Floor, ch.ahead
		}
		m.Suspect, m.Deaths = p.recovery.suspect, p.recovery.deaths
		ch.mark = &m
	}
	return ch
}

// write stores what is put aside, then the offsets, then what is no longer put aside.
func (c *cursor) write(ctx context.Context, changes []change, last bool) error {
	before, after := make(map[string][]byte), make(map[string][]byte)
	for _, ch := range changes {
		for behind, n := range ch.Aside {
			key := noteKey(c.name, ch.p.number, behind-1)
			if n == nil {
				after[key] = nil
			} else {
				before[key] = row(n)
			}
		}
		key := markKey(c.name, ch.p.number)
		if last {
			after[key] = row(mark{Floor: ch.Floor, Ahead: ch.ahead})
		}
		if ch.mark != nil {
			before[key] = row(ch.mark)
			ch.p.mark = *ch.mark
		}
	}
	if err := c.j.places.put(ctx, before); err != nil {
		return err
	}
	if err := c.commit(ctx, changes); err != nil {
		return err
	}
	return c.j.places.put(ctx, after)
}

// long reports whether what is settled above the floor is too much to be committed with it.
func (ch change) long() bool { return base64.RawStdEncoding.EncodedLen(len(ch.ahead)) > maxMetadata }

// commit commits the floors. Kafka refuses it if this process is no longer of the group.
func (c *cursor) commit(ctx context.Context, changes []change) error {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group = c.group
	req.MemberID, req.Generation = c.client.GroupMetadata()
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic, t.TopicID = c.j.topic, c.j.topicID
	for _, ch := range changes {
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset = ch.p.number, ch.Floor
		if len(ch.ahead) > 0 && !ch.long() {
			text := base64.RawStdEncoding.EncodeToString(ch.ahead)
			p.Metadata = &text
		}
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	if req.MemberID == "" {
		return errors.New("commit: not in the group")
	}
	resp, err := req.RequestWith(ctx, c.client)
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("commit of partition %d: %w", p.Partition, err)
			}
		}
	}
	return nil
}
