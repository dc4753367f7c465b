package natsjournal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/internal/place"
)

// Replay says what a subscriber is to be given again.
type Replay struct {
	// Subscriber is its name. It must be this process's.
	Subscriber string
	// From is where to begin: jitney.FromBeginning() or jitney.FromTime; or else Position is.
	From     jitney.Start
	Position int64
	// Type and Key select events; "" and nil all.
	Type string
	Key  *string
	// SideEffects replays also to a subscriber made WithSideEffects.
	SideEffects bool
	// DryRun looks, and gives nothing again.
	DryRun bool
	// OnProgress is called after every 1,000 events that have been looked at, and at the end.
	OnProgress func(Replayed)
}

// Replayed says how far a replay has come.
type Replayed struct {
	// Looked is how many events have been looked at, Queued how many are to be given again, and Through the position
	// of the last one that was looked at: a replay that was interrupted goes on behind it.
	Looked, Queued, Through int64
}

// What Replay answers.
var (
	ErrNotOpen     = errors.New("subscriber is not open in this process")
	ErrSideEffects = errors.New("subscriber has side effects that cannot be taken back")
)

const replayStep = 1000

// Replay gives a subscriber events again that it has settled, in their order, before those that it has not been given
// yet, and nobody else. What it has not settled yet comes anyway. Its marks in the journal's Inbox are removed, but for
// those of business keys. What is to be given again is kept in the journal until it has been settled; Places counts it.
func (j *Journal) Replay(ctx context.Context, r Replay) (done Replayed, err error) {
	owner, floor, err := j.replayable(r)
	if err == nil {
		err = owner.replay(ctx, r, floor, &done)
	}
	if err != nil {
		return done, fmt.Errorf("natsjournal: replay to %s: %w", r.Subscriber, err)
	}
	return done, nil
}

func (j *Journal) replayable(r Replay) (owner *reign, floor int64, err error) {
	j.mu.Lock()
	c := j.cursors[r.Subscriber]
	j.mu.Unlock()
	if c == nil {
		return nil, 0, ErrNotOpen
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	beginning, t := r.From.At()
	switch {
	case c.closed || c.reign == nil:
		return nil, 0, ErrNotOpen
	case c.d.SideEffects && !r.SideEffects:
		return nil, 0, ErrSideEffects
	case !beginning && t.IsZero() && r.Position <= 0:
		return nil, 0, errors.New("it has no beginning: give From or Position")
	case c.d.Type != "" && r.Type != "" && r.Type != c.d.Type:
		return nil, 0, fmt.Errorf("it takes %s, not %s", c.d.Type, r.Type)
	}
	return c.reign, c.reign.place.Floor(), nil
}

func (r *reign) replay(ctx context.Context, what Replay, floor int64, done *Replayed) error {
	from := what.Position
	if beginning, t := what.From.At(); beginning || !t.IsZero() {
		before, err := r.c.j.start(ctx, what.From)
		if err != nil {
			return err
		}
		from = before + 1
	}
	done.Through = from - 1
	if from > floor {
		return nil
	}
	config := jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{r.subject()}, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: uint64(from),
	}
	if r.c.d.Type == "" && what.Type != "" {
		config.FilterSubjects = []string{subject(r.c.j.name, what.Type)}
	}
	var chosen []jitney.Entry
	var failed error
	flush := func() bool {
		if !what.DryRun {
			failed = r.giveAgain(ctx, chosen)
		}
		chosen = chosen[:0]
		if what.OnProgress != nil && failed == nil {
			what.OnProgress(*done)
		}
		return failed == nil
	}
	err := r.c.j.scan(ctx, config, floor, func(pos int64, msg jetstream.Msg, _ time.Time) bool {
		done.Looked++
		done.Through = pos
		if e, is := r.chooses(what, r.c.j.entry(uint64(pos), msg.Headers(), msg.Data())); is {
			chosen = append(chosen, e)
			done.Queued++
		}
		return done.Looked%replayStep != 0 || flush()
	})
	if err == nil && failed == nil {
		flush()
	}
	return errors.Join(err, failed)
}

// chooses reports whether an event is to be given again. What cannot be read is not: the subscriber has it aside.
func (r *reign) chooses(what Replay, e jitney.Entry) (_ jitney.Entry, is bool) {
	if e.Err != nil || what.Type != "" && e.Envelope.Type != what.Type {
		return e, false
	}
	return e, what.Key == nil || e.Envelope.Key == *what.Key
}

// giveAgain puts entries aside to be given again. One that is aside already comes anyway.
func (r *reign) giveAgain(ctx context.Context, entries []jitney.Entry) error {
	for _, e := range entries {
		key := inboxKey(jitney.InboxKey{Subscriber: r.c.d.Name, Event: e.Envelope.ID})
		if _, err := r.c.j.remove(ctx, r.c.j.inbox, key, 0); err != nil {
			return err
		}
	}
	queued, err := r.note(ctx, entries)
	if err == nil {
		err = r.write(ctx, func(*value) {}) // or else the notes would not hold
	}
	r.queue(queued)
	return err
}

func (r *reign) note(ctx context.Context, entries []jitney.Entry) (queued []int64, err error) {
	select {
	case r.writing <- struct{}{}:
		defer func() { <-r.writing }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	for _, e := range entries {
		r.c.mu.Lock()
		aside := r.notes[e.Position] != nil
		r.c.mu.Unlock()
		if aside {
			continue
		}
		if err := r.writeNote(ctx, e.Position, place.Note{Reason: place.Replayed}); err != nil {
			return queued, err
		}
		queued = append(queued, e.Position)
	}
	return queued, nil
}

// queue has Next give what is aside at some positions.
func (r *reign) queue(positions []int64) {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	r.todo = append(r.todo, positions...)
	slices.Sort(r.todo)
	r.todo = slices.Compact(r.todo)
	r.nudge()
}
