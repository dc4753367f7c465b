package jitney

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/google/uuid"
)

// Inbox makes a handler idempotent: it runs it for a key until it has succeeded once. Run may be called by several
// goroutines at once.
//
// Implementations must pass jitneytest.TestInbox.
type Inbox interface {
	// Run calls handle, with ctx or a context derived from it, unless key has been handled.
	//
	//   - handle's success marks key; its error does not, and is returned as it is.
	//   - When key is marked, Run returns ErrDuplicate without calling handle.
	//   - While handle runs for key elsewhere, Run waits. If it succeeds there, Run returns ErrDuplicate;
	//     if it fails, Run calls its own handle. It never runs two for one key at once.
	//   - If ctx ends while it waits, Run returns an error that wraps context.Cause(ctx).
	//   - When key is marked with another Fingerprint than key's, and neither is "", Run returns an error
	//     that wraps ErrKeyReuse without calling handle.
	//   - When handle ends its goroutine with runtime.Goexit, key is not marked and free again.
	//
	// Any other error says that the inbox itself failed. If it had not called handle by then, the
	// delivery is held and tried again later, and no attempt is used up.
	Run(ctx context.Context, key InboxKey, handle func(context.Context) error) error
}

// InboxKey is what an Inbox remembers a success under. Subscriber, Event and Business are the key: two
// subscribers with one inbox do not see each other's.
type InboxKey struct {
	Subscriber string
	// Event is the event's ID; uuid.Nil if there is a Business key.
	Event uuid.UUID
	// Business is what WithIdempotencyKey made of the event; "" without it.
	Business string
	// Fingerprint is a digest of the event under a business key; "" without one.
	Fingerprint string
}

// ID is Business, or else Event as text: for a store that has one column for both.
func (k InboxKey) ID() string {
	if k.Business != "" {
		return k.Business
	}
	return idText(k.Event)
}

// What an Inbox answers.
var (
	// ErrDuplicate: the key has been handled already. The delivery is skipped.
	ErrDuplicate = errors.New("handled before")
	// ErrKeyReuse: the business key has been used for an event with another payload. The delivery
	// becomes a dead letter, for one of the two would be lost otherwise.
	ErrKeyReuse = errors.New("idempotency key used for a different event")
)

// inboxError is an inbox's own failure, before it came to call the handler.
type inboxError struct{ err error }

func (e *inboxError) Error() string { return "inbox: " + errorText(e.err) }
func (e *inboxError) Unwrap() error { return e.err }

// deduplicate puts the subscription's inbox in front of next.
func (s *Subscription) deduplicate(next Handler) Handler {
	return func(ctx context.Context, e Event) error {
		c := scopeOf(ctx)
		if c == nil || c.sub != s {
			return ErrForeignContext
		}
		key, err := s.inboxKey(c.env, e)
		if err != nil {
			return err
		}
		err = contain(func() error {
			return s.inbox.Run(ctx, key, func(ctx context.Context) error { return next(ctx, e) })
		})
		if err != nil && !c.entered() && !is(err, ErrDuplicate) && !is(err, ErrKeyReuse) {
			return &inboxError{err}
		}
		return err
	}
}

func (s *Subscription) inboxKey(env *Envelope, e Event) (InboxKey, error) {
	key := InboxKey{Subscriber: s.name}
	if s.businessKey != nil {
		key.Business = s.businessKey(e)
	}
	if key.Business == "" {
		key.Event = env.ID
		return key, nil
	}
	payload, err := json.Marshal(e)
	if err != nil {
		return key, Permanent(fmt.Errorf("jitney: an idempotency key needs an event that can be compared as JSON: a %T", err))
	}
	key.Fingerprint = fmt.Sprintf("%x", sha256.Sum256(payload))
	return key, nil
}

// skip settles a delivery that the handler or the inbox has waved through.
func (s *Subscription) skip(ctx context.Context, e *entry, err error) verdict {
	duplicate := is(err, ErrDuplicate)
	if duplicate {
		s.queue.count(func(st *Stats) { st.Duplicates++ })
	}
	s.bus.log(ctx, slog.LevelDebug, "jitney: skipped",
		slog.String("subscriber", s.name), slog.Any("event", e.env),
		slog.Bool("duplicate", duplicate), slog.String("reason", errorText(err)))
	return s.finish(e, verdict{ending: skipped}, nil)
}
