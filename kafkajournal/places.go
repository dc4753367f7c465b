package kafkajournal

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jitney-go/jitney/internal/place"
)

// found is a partition's place as it is stored.
type found struct {
	mark
	floor  int64 // the offset to read next
	ahead  []int64
	asides []int64
	end    int64 // of the partition
}

// ErrAhead says that a subscriber has settled what the topic does not have: it was made anew, or has lost events.
var ErrAhead = errors.New("subscriber is ahead of the topic")

// places finds the places of partitions, and notes that a process has them.
func (c *cursor) places(ctx context.Context, at map[int32]kgo.Offset) (map[int32]*found, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := c.j.places.sync(ctx); err != nil {
		return nil, err
	}
	starts, err := c.j.starts(ctx)
	if err != nil {
		return nil, err
	}
	ends, err := c.j.ends(ctx)
	if err != nil {
		return nil, err
	}
	all := make(map[int32]*found)
	taken := make(map[string][]byte)
	for number, offset := range at {
		f, err := c.find(number, offset.EpochOffset().Offset)
		if err != nil {
			return nil, err
		}
		if f.end = ends.at(int(number)); f.floor > f.end {
			return nil, fmt.Errorf("%w: partition %d ends at offset %d, and %d is next", ErrAhead, number, f.end, f.floor)
		}
		if start := starts.at(int(number)); start > f.floor {
			c.missed(number, f.floor, start)
			f.floor = start
		}
		all[number] = f
		taken[markKey(c.name, number)] = row(f.taken())
	}
	return all, c.j.places.put(ctx, taken)
}

// taken is the mark of a place that a process has.
func (f *found) taken() mark {
	slices.Sort(f.ahead)
	f.ahead = slices.Compact(f.ahead)
	return mark{Open: true, Floor: f.floor, Ahead: place.AppendAhead(nil, f.floor, f.ahead), Suspect: f.Suspect, Deaths: f.Deaths}
}

// find reads the place of a partition. Kafka forgets what a group without members has committed, after a week; the mark
// says then where it was last.
func (c *cursor) find(number int32, committed int64) (*found, error) {
	f := new(found)
	known, err := c.j.places.load(markKey(c.name, number), &f.mark)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	metadata := c.metadata[number]
	c.mu.Unlock()
	switch {
	case committed >= 0:
		f.floor = committed
	case known:
		f.floor, metadata = f.Floor, ""
	default:
		f.floor, metadata = c.birth.Offsets.at(int(number)), "" // of a partition that was added later, all
	}
	for _, from := range [...]struct {
		floor int64
		text  string
	}{{f.floor, metadata}, {f.Floor, base64.RawStdEncoding.EncodeToString(f.Ahead)}} {
		b, err := base64.RawStdEncoding.DecodeString(from.text)
		if err != nil {
			return nil, fmt.Errorf("partition %d: %w", number, place.ErrCorrupt)
		}
		ahead, err := place.ReadAhead(from.floor, b)
		if err != nil {
			return nil, fmt.Errorf("partition %d: %w", number, err)
		}
		f.add(ahead)
	}
	f.asides = c.j.places.asides(c.name, number)
	for _, offset := range f.asides {
		f.add([]int64{offset + 1})
	}
	return f, nil
}

// add notes what is not to be given when the log is read on.
func (f *found) add(ahead []int64) {
	for _, behind := range ahead {
		if behind > f.floor {
			f.ahead = append(f.ahead, behind)
		}
	}
}

// missed says that events were removed before the subscriber has had them.
func (c *cursor) missed(number int32, from, to int64) {
	c.j.log.Error("kafkajournal: events were removed before their subscriber has had them",
		slog.String("subscriber", c.name), slog.Int64("partition", int64(number)), slog.Int64("from_offset", from), slog.Int64("to_offset", to-1))
}

// enter makes f the account of p.
func (f *found) enter(p *partition, window int) {
	p.place = place.New(f.floor, f.ahead)
	p.next, p.asides = f.floor, f.asides
	p.mark = f.taken()
	p.recovery = recovery{suspect: f.Suspect, deaths: f.Deaths}
	if f.Open {
		p.recovery.left, p.recovery.until = window, f.end
	}
}
