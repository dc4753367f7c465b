package jitney

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"github.com/google/uuid"
)

// redelivery is a dead letter on its way back to its subscriber.
type redelivery struct {
	letter  DeadLetter
	outcome error // the delivery's owner's alone
	result  error // written once, before done is closed
	done    chan struct{}
	once    sync.Once
}

var errDropped = errors.New("dropped by overflow policy DropOldest")

// Redeliver hands a dead letter to the subscriber that could not handle it, and to no other, and waits
// for the outcome. It returns nil when the event was handled or skipped; the letter is out of the store
// then. When the delivery has died again Redeliver returns its last error, and the letter stands in the
// store with the new attempts added to its History. Until then the stored letter stays as it is.
//
// Attempts count from one again. If ctx ends first, Redeliver returns an error that wraps its cause, and
// the delivery, once accepted, goes on.
//
// Two redeliveries of one letter run once: the other gets ErrRedelivering, or, when it comes later,
// ErrNoDeadLetter. A letter whose subscriber is gone is answered with ErrNoSubscription, a call from a
// handler with ErrReentrant, and one after the start of Shutdown with ErrClosed.
func (b *Bus) Redeliver(ctx context.Context, letter DeadLetter) error {
	r, err := b.redeliver(ctx, letter)
	if err != nil {
		return fmt.Errorf("jitney: redeliver %s to %s: %w", letter.ID, letter.Subscriber, err)
	}
	select {
	case <-r.done:
		return r.result
	case <-ctx.Done():
		return fmt.Errorf("jitney: redeliver %s to %s, outcome not known yet: %w", letter.ID, letter.Subscriber, context.Cause(ctx))
	}
}

// redeliver puts the letter into its subscriber's queue.
func (b *Bus) redeliver(ctx context.Context, letter DeadLetter) (r *redelivery, err error) {
	if b.handles(ctx) {
		return nil, ErrReentrant
	}
	if err := b.admit(ctx, "redeliver", letter.Envelope); err != nil {
		return nil, err
	}
	s := b.routes.named(letter.Subscriber)
	if s == nil {
		return nil, ErrNoSubscription
	}
	id := letter.ID
	if _, busy := b.redeliveries.LoadOrStore(id, struct{}{}); busy {
		return nil, ErrRedelivering
	}
	defer func() {
		if err != nil {
			b.redeliveries.Delete(id)
		}
	}()
	if letter, err = s.current(ctx, letter); err != nil {
		return nil, err
	}
	r = &redelivery{letter: letter, done: make(chan struct{})}
	p := parcel{env: letter.Envelope, rare: &rare{at: time.Now(), again: r}}
	if s.sync {
		// The handler's error comes back as the redelivery's result.
		err := s.deliverSync(ctx, p, false)
		select {
		case <-r.done:
			return r, nil
		default:
			return nil, err // it was not accepted
		}
	}
	return r, s.submit(ctx, p)
}

// Discard takes a dead letter out of its subscriber's store for good: its event will not be handled. What
// is parked behind the letter goes on (WithParking), also when the store has lost the letter: then its ID
// and Subscriber are enough. It can be done after Shutdown as well. The errors are ErrNoDeadLetter, ErrRedelivering,
// ErrNoSubscription, and the store's.
func (b *Bus) Discard(ctx context.Context, letter DeadLetter) error {
	err := b.exclusively(letter, func(s *Subscription) error {
		err := ErrNoDeadLetter
		if s.letters != nil {
			err = contain(func() error { return s.letters.Remove(ctx, letter.ID) })
		}
		if err != nil && !is(err, ErrNoDeadLetter) {
			return err
		}
		if s.queue.unpark(letter.ID) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("jitney: discard %s to %s: %w", letter.ID, letter.Subscriber, err)
	}
	return nil
}

// Amend puts e in the place of the event in a stored dead letter, which is what Redeliver hands over from
// then on. The new envelope has an ID of its own and names the one that died as its cause; time, source,
// correlation id and headers stay. The letter keeps the envelope that died first as its Original. Amend
// returns the letter as it is stored now. Publish hooks are not called. It can be done after Shutdown as well. The
// errors are those of Discard, and what Publish says of an event that is not valid.
func (b *Bus) Amend(ctx context.Context, letter DeadLetter, e Event) (amended DeadLetter, err error) {
	err = b.exclusively(letter, func(s *Subscription) error {
		if s.letters == nil {
			return ErrNoDeadLetter
		}
		l, err := s.current(ctx, letter)
		if err != nil {
			return err
		}
		env, err := b.reseal(ctx, l.Envelope, e)
		if err != nil {
			return err
		}
		if l.Original == nil {
			l.Original = l.Envelope
		}
		l.Envelope = env
		if err := s.fits(env); err != nil {
			return err
		}
		amended = l
		return contain(func() error { return s.letters.Add(ctx, l) })
	})
	if err != nil {
		return letter, fmt.Errorf("jitney: amend %s to %s: %w", letter.ID, letter.Subscriber, err)
	}
	return amended, nil
}

// exclusively calls f, which deals with a letter, while nobody else does.
func (b *Bus) exclusively(letter DeadLetter, f func(*Subscription) error) error {
	s := b.routes.named(letter.Subscriber)
	if s == nil {
		return ErrNoSubscription
	}
	if _, busy := b.redeliveries.LoadOrStore(letter.ID, struct{}{}); busy {
		return ErrRedelivering
	}
	defer b.redeliveries.Delete(letter.ID)
	return f(s)
}

// current returns the letter as it is in the store now; as given if there is no store.
func (s *Subscription) current(ctx context.Context, l DeadLetter) (DeadLetter, error) {
	if s.letters != nil {
		err := contain(func() (err error) { l, err = s.letters.Get(ctx, l.ID); return err })
		if err != nil {
			return l, err
		}
	}
	if l.ID == uuid.Nil || l.Envelope == nil || l.Envelope.Event == nil {
		return l, fmt.Errorf("%w: the dead letter has no event", ErrInvalidEnvelope)
	}
	return l, s.fits(l.Envelope)
}

// fits says what keeps s from handling env.
func (s *Subscription) fits(env *Envelope) error {
	r, err := s.bus.routes.of(env.Event)
	if err != nil {
		return err
	}
	if !s.wants(r.typ) {
		return fmt.Errorf("%w: %s takes %s, not %s", ErrTypeConflict, s.name, s.EventType(), reflect.TypeOf(env.Event))
	}
	return nil
}

// answer keeps r's outcome, and takes a letter that is done with out of the store.
func (s *Subscription) answer(r *redelivery, v verdict, err error) {
	r.outcome = err
	if s.letters == nil || v.ending != handled && v.ending != skipped {
		return
	}
	err = contain(func() error { return s.letters.Remove(s.life, r.letter.ID) })
	if err == nil || is(err, ErrNoDeadLetter) {
		return
	}
	r.outcome = fmt.Errorf("jitney: handled, but the letter could not be removed: %w", err)
	s.queue.count(func(st *Stats) { st.StoreErrors++ })
	s.bus.log(s.life, slog.LevelError, "jitney: redelivered dead letter not removed",
		slog.Any("dead_letter", r.letter), slog.String("error", errorText(err)))
}

// redelivered tells whoever waits for r how it went. Its delivery's owner calls it.
func (b *Bus) redelivered(r *redelivery) { b.conclude(r, r.outcome) }

// conclude tells whoever waits for r its result. The first result counts: Shutdown may have given it up
// before its owner comes to tell.
func (b *Bus) conclude(r *redelivery, result error) {
	r.once.Do(func() {
		r.result = result
		b.redeliveries.Delete(r.letter.ID)
		close(r.done)
	})
}
