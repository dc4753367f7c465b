package natsjournal

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/wire"
)

// start is the position before the first event of from.
func (j *Journal) start(ctx context.Context, from jitney.Start) (int64, error) {
	end, err := j.end(ctx)
	if err != nil {
		return 0, err
	}
	switch beginning, t := from.At(); {
	case beginning:
		return max(j.oldest.Load()-1, 0), nil
	case !t.IsZero():
		return j.since(ctx, t, end)
	}
	return end, nil
}

// ahead is how much later than the server's clock an event's Time may be for FromTime to find it.
const ahead = time.Hour

// since is the position before the first event up to end whose Time is t or later. The server finds events only by when
// it has got them, which is not before their Time but for clocks that differ: from there on they are looked through.
func (j *Journal) since(ctx context.Context, t time.Time, end int64) (before int64, err error) {
	from := t.Add(-ahead)
	before = end
	err = j.scan(ctx, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &from, HeadersOnly: true}, end,
		func(pos int64, msg jetstream.Msg, got time.Time) bool {
			at, err := time.Parse(time.RFC3339Nano, msg.Headers().Get(prefix+wire.Time))
			if err != nil {
				at = got
			}
			if at.Before(t) {
				return true
			}
			before = pos - 1
			return false
		})
	return before, err
}

// scan calls f with the events that config selects, up to end, until it returns false.
func (j *Journal) scan(ctx context.Context, config jetstream.OrderedConsumerConfig, end int64, f func(pos int64, msg jetstream.Msg, got time.Time) bool) error {
	config.InactiveThreshold = time.Minute
	if end == 0 {
		return nil
	}
	consumer, err := j.js.OrderedConsumer(ctx, j.name, config)
	if err != nil {
		return err
	}
	if info := consumer.CachedInfo(); info != nil && info.NumPending == 0 {
		return nil
	}
	messages, err := consumer.Messages()
	if err != nil {
		return err
	}
	defer messages.Stop()
	for {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return err
		}
		pos := int64(meta.Sequence.Stream)
		if pos > end {
			return nil
		}
		if !f(pos, msg, meta.Timestamp) || pos == end || meta.NumPending == 0 {
			return nil
		}
	}
}
