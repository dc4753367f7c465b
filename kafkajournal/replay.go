package kafkajournal

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/jitney-go/jitney"
)

// Replay says what a subscriber is to be given again.
type Replay struct {
	// Subscriber is its name. No process may have it open.
	Subscriber string
	// From is where to begin: jitney.FromBeginning() or jitney.FromTime.
	From jitney.Start
	// SideEffects replays also to a subscriber made WithSideEffects.
	SideEffects bool
}

// What Replay answers.
var (
	ErrUnknownSubscriber = errors.New("no subscriber of that name")
	ErrSideEffects       = errors.New("subscriber has side effects that cannot be taken back")
)

// Replay has a subscriber given again, when it is opened next, all from a start on, whether it has settled it or not;
// what it has not settled before that comes too. Other subscribers are not disturbed. The error is jitney.ErrInUse
// while a process has the subscriber open.
func (j *Journal) Replay(ctx context.Context, r Replay) error {
	if err := j.replay(ctx, r); err != nil {
		return fmt.Errorf("kafkajournal: replay to %s: %w", r.Subscriber, err)
	}
	return nil
}

func (j *Journal) replay(ctx context.Context, r Replay) error {
	c := &cursor{j: j, name: r.Subscriber, group: j.topic + "." + r.Subscriber}
	if err := c.replayable(ctx, r); err != nil {
		return err
	}
	at, err := j.startOf(ctx, r.From)
	if err != nil {
		return err
	}
	committed, err := j.admin.FetchOffsets(ctx, c.group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return err
	}
	rows := make(map[string][]byte)
	var back kadm.Offsets
	for number := range at {
		p := int32(number)
		is := int64(-1)
		if o, ok := committed.Lookup(j.topic, p); ok {
			is = o.At
		}
		f, err := c.find(p, is)
		if err != nil {
			return err
		}
		floor := min(f.floor, at[number])
		rows[markKey(c.name, p)] = row(mark{Floor: floor})
		back.Add(kadm.Offset{Topic: j.topic, TopicID: j.topicID, Partition: p, At: floor, LeaderEpoch: -1})
	}
	if err := j.places.put(ctx, rows); err != nil {
		return err
	}
	switch err = j.admin.CommitAllOffsets(ctx, c.group, back); {
	case errors.Is(err, kerr.UnknownMemberID):
		return jitney.ErrInUse
	case errors.Is(err, kerr.GroupIDNotFound): // the mark says it
		return nil
	}
	return err
}

// replayable says why there cannot be a replay.
func (c *cursor) replayable(ctx context.Context, r Replay) error {
	if beginning, t := r.From.At(); !beginning && t.IsZero() {
		return errors.New("it has no beginning: give From")
	}
	if err := c.j.places.sync(ctx); err != nil {
		return err
	}
	known, err := c.j.places.load(births+c.name, &c.birth)
	switch {
	case err != nil:
		return err
	case !known:
		return ErrUnknownSubscriber
	case c.birth.SideEffects && !r.SideEffects:
		return ErrSideEffects
	}
	groups, err := c.j.admin.DescribeGroups(ctx, c.group)
	if err == nil {
		err = groups[c.group].Err
	}
	switch {
	case errors.Is(err, kerr.GroupIDNotFound): // nobody has joined it, or Kafka has forgotten that
		return nil
	case err == nil && len(groups[c.group].Members) > 0:
		return jitney.ErrInUse
	}
	return err
}
