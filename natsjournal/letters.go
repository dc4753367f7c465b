package natsjournal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/internal/letter"
	"github.com/jitney-go/jitney/wire"
)

// DeadLetters returns a [jitney.DeadLetterStore] in a bucket: a key for each letter. List and Count read all of them, so
// it is for thousands, not for millions. A letter is up to twice as large as its event; one that is larger than what the
// server takes (max_payload) is refused with wire.ErrPayloadTooLarge, and its delivery is held. An event that this
// program cannot decode, or no longer, is a [jitney.RawEvent] in its letter.
func (j *Journal) DeadLetters() jitney.DeadLetterStore { return letters{j} }

type letters struct{ j *Journal }

// Add implements [jitney.DeadLetterStore].
func (s letters) Add(ctx context.Context, l jitney.DeadLetter) error {
	ctx, cancel := s.j.patiently(ctx, patience)
	defer cancel()
	text, err := letter.Write(l)
	if size, most := int64(len(text)), s.j.nc.MaxPayload(); err == nil && size > most {
		err = fmt.Errorf("%w: %d bytes, and the server takes %d (max_payload)", wire.ErrPayloadTooLarge, size, most)
	}
	if err == nil {
		_, err = s.j.letters.Put(ctx, l.ID.String(), text)
	}
	if err != nil {
		return fmt.Errorf("natsjournal: dead letter: %w", because(ctx, full(err)))
	}
	return nil
}

// full has an error say that there is no room, if it is one of those.
func full(err error) error {
	if _, is := errors.AsType[*jetstream.APIError](err); is && errors.Is(refused(err), ErrFull) {
		return fmt.Errorf("%w: %w", jitney.ErrDeadLettersFull, err)
	}
	return err
}

// Get implements [jitney.DeadLetterStore].
func (s letters) Get(ctx context.Context, id uuid.UUID) (l jitney.DeadLetter, err error) {
	e, err := s.get(ctx, id)
	if err == nil {
		l, err = s.read(e.Value())
	}
	if err != nil {
		return l, fmt.Errorf("natsjournal: dead letter %s: %w", id, err)
	}
	return l, nil
}

func (s letters) get(ctx context.Context, id uuid.UUID) (jetstream.KeyValueEntry, error) {
	ctx, cancel := s.j.patiently(ctx, patience)
	defer cancel()
	e, err := s.j.letters.Get(ctx, id.String())
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, jitney.ErrNoDeadLetter
	}
	return e, because(ctx, err)
}

func (s letters) read(text []byte) (jitney.DeadLetter, error) {
	l, err := letter.Read(text, s.j.types)
	if errors.Is(err, letter.ErrCorrupt) {
		err = fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return l, err
}

// List implements [jitney.DeadLetterStore].
func (s letters) List(ctx context.Context, f jitney.DeadLetterFilter) (list []jitney.DeadLetter, err error) {
	err = s.j.each(ctx, s.j.letters, jetstream.AllKeys, func(e entry) error {
		l, err := s.read(e.value)
		if err == nil && f.Matches(l) && bytes.Compare(l.ID[:], f.After[:]) > 0 {
			list = append(list, l)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("natsjournal: dead letters: %w", err)
	}
	slices.SortFunc(list, func(a, b jitney.DeadLetter) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	if f.Limit > 0 && len(list) > f.Limit {
		list = list[:f.Limit]
	}
	return list, nil
}

// Count implements [jitney.DeadLetterStore].
func (s letters) Count(ctx context.Context, f jitney.DeadLetterFilter) (int, error) {
	f.After, f.Limit = uuid.Nil, 0
	list, err := s.List(ctx, f)
	return len(list), err
}

// Remove implements [jitney.DeadLetterStore].
func (s letters) Remove(ctx context.Context, id uuid.UUID) error {
	e, err := s.get(ctx, id)
	if err == nil {
		var was bool
		if was, err = s.j.remove(ctx, s.j.letters, id.String(), e.Revision()); err == nil && !was {
			err = jitney.ErrNoDeadLetter
		}
	}
	if err != nil {
		return fmt.Errorf("natsjournal: dead letter %s: %w", id, err)
	}
	return nil
}
