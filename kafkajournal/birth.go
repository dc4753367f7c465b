package kafkajournal

import (
	"context"

	"github.com/jitney-go/jitney"
)

// born finds where the subscriber began, or has it begin.
func (c *cursor) born(ctx context.Context) error {
	key := births + c.name
	for {
		if err := c.j.places.sync(ctx); err != nil {
			return err
		}
		if known, err := c.j.places.load(key, &c.birth); known || err != nil {
			return err
		}
		at, err := c.j.startOf(ctx, c.d.From)
		if err != nil {
			return err
		}
		b := birth{Offsets: at, SideEffects: c.d.SideEffects}
		if err := c.j.places.put(ctx, map[string][]byte{key: row(b)}); err != nil {
			return err
		}
	}
}

// startOf returns the first offset of each partition from a start on.
func (j *Journal) startOf(ctx context.Context, s jitney.Start) (vector, error) {
	beginning, t := s.At()
	switch {
	case beginning:
		return j.starts(ctx)
	case t.IsZero():
		return j.ends(ctx)
	}
	list, err := j.admin.ListOffsetsAfterMilli(ctx, max(t.UnixMilli(), 0), j.topic)
	return offsets(j.topic, list, err)
}
