package natsjournal

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/jitney-go/jitney"
)

// arrival is an event of the stream, decoded.
type arrival struct{ entry jitney.Entry }

// How much of the stream is read ahead of what a subscriber has taken: decoded, and on its way.
const (
	readAhead = 128
	onTheWay  = 256
)

// subject is what the subscriber reads of the stream.
func (r *reign) subject() string {
	if r.c.d.Type == "" {
		return r.c.j.name + ".event.>"
	}
	return subject(r.c.j.name, r.c.d.Type)
}

// receive reads the stream from the floor on until the reign ends. It begins anew where it was whenever something fails.
func (r *reign) receive() {
	defer close(r.read)
	r.c.mu.Lock()
	next := uint64(r.place.Floor() + 1)
	r.c.mu.Unlock()
	for times := 1; ; times++ {
		before := next
		err := r.stream(&next)
		if r.lost() {
			return
		}
		if next > before {
			times = 1
		}
		if powerOfTwo(times) {
			r.c.j.log.Warn("natsjournal: reading the stream has failed, will go on",
				slog.String("subscriber", r.c.d.Name), slog.Int("times", times), slog.String("error", err.Error()))
		}
		_ = pause(r.ctx, min(time.Duration(times)*50*time.Millisecond, 2*time.Second))
	}
}

// stream reads the stream from next on, with a consumer of its own that the server forgets when nobody asks it for more.
func (r *reign) stream(next *uint64) error {
	ctx, cancel := r.c.j.patiently(r.ctx, patience)
	defer cancel()
	consumer, err := r.c.j.js.OrderedConsumer(ctx, r.c.j.name, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{r.subject()}, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: *next,
		MaxResetAttempts: 1, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return err
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(onTheWay),
		jetstream.PullExpiry(10*time.Second), jetstream.PullHeartbeat(2*time.Second))
	if err != nil {
		return err
	}
	defer messages.Stop()
	for {
		msg, err := messages.Next(jetstream.NextContext(r.ctx))
		if err != nil {
			return err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return err
		}
		if seq := meta.Sequence.Stream; seq < *next {
			continue
		}
		select {
		case r.arrivals <- arrival{r.c.j.entry(meta.Sequence.Stream, msg.Headers(), msg.Data())}:
			*next = meta.Sequence.Stream + 1
		case <-r.ctx.Done():
			return r.ctx.Err()
		}
	}
}

// lookEvery is how often the server is asked, at least, whether there is something that is not for the subscriber, or
// has been removed; tick is how often it is asked if this process knows of something.
const (
	lookEvery = time.Second
	tick      = 25 * time.Millisecond
)

// next is Next while the place is ours.
func (r *reign) next(ctx context.Context, most int) ([]jitney.Entry, int64, error) {
	recovering := r.recovery.left > 0
	if recovering {
		if err := r.awaitLast(ctx); err != nil {
			return nil, 0, err
		}
		most = 1
	}
	first := r.first
	r.first = false
	t := time.NewTicker(tick)
	defer t.Stop()
	for waited := false; ; {
		entries, err := r.fromAside(ctx, most)
		if err != nil {
			return nil, 0, err
		}
		if len(entries) == 0 {
			entries = r.arrived(ctx, nil, most)
		}
		switch {
		case len(entries) > 0:
			return r.given(ctx, entries, recovering)
		case r.through() > r.told: // by what an earlier process has settled
			return r.upTo(ctx, nil)
		}
		if first || waited && r.mayLook() { // what is about to arrive comes sooner than an answer
			if passed, err := r.look(ctx); err != nil || passed || first && r.caughtUp() {
				return r.upTo(ctx, err)
			}
			first = false
		}
		select {
		case a := <-r.arrivals:
			if entries = r.arrived(ctx, &a, most); len(entries) > 0 {
				return r.given(ctx, entries, recovering)
			}
			return r.upTo(ctx, nil)
		case <-t.C:
			waited = true
		case <-r.poke:
		case <-r.ctx.Done():
			return nil, r.through(), r.ctx.Err()
		case <-ctx.Done():
			return nil, 0, context.Cause(ctx)
		}
	}
}

// given returns entries from Next.
func (r *reign) given(ctx context.Context, entries []jitney.Entry, recovering bool) ([]jitney.Entry, int64, error) {
	if recovering {
		if err := r.suspected(ctx, &entries[0]); err != nil {
			return nil, 0, err
		}
	}
	r.told = r.through()
	return entries, r.told, nil
}

// upTo returns from Next without entries: all that had been in flight has been given.
func (r *reign) upTo(ctx context.Context, err error) ([]jitney.Entry, int64, error) {
	if err == nil {
		err = r.recovered(ctx)
	}
	if err != nil {
		return nil, 0, err
	}
	r.told = r.through()
	return nil, r.told, nil
}

func (r *reign) through() int64 {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	return r.place.Through()
}

// caughtUp reports whether nothing is known that has not been looked at.
func (r *reign) caughtUp() bool { return r.through() >= r.c.j.known.Load() }

func (r *reign) mayLook() bool { return !r.caughtUp() || time.Since(r.looked) >= lookEvery }

// arrived returns the entries for the subscriber among a and what has arrived behind it, at most so many.
func (r *reign) arrived(ctx context.Context, a *arrival, most int) (entries []jitney.Entry) {
	for len(entries) < max(most, 1) {
		if a == nil {
			select {
			case next := <-r.arrivals:
				a = &next
			default:
				return entries
			}
		}
		r.notice(ctx, a.entry.Position)
		if r.take(a.entry.Position) {
			entries = append(entries, a.entry)
		}
		a = nil
	}
	return entries
}

// take notes that the event at pos is given, and reports whether it is to be.
func (r *reign) take(pos int64) bool {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	if r.over() || pos <= r.place.Through() {
		return false
	}
	r.c.j.heard(pos)
	is := r.place.Give(pos)
	if r.place.Changed() > 0 {
		r.touch()
	}
	return is
}
