package jitney

import (
	"errors"
	"fmt"
	"strings"
)

// What Publish and Forward refuse an event for. Nobody has been given the event.
var (
	// ErrNilEvent: the event is nil, or a nil pointer.
	ErrNilEvent = errors.New("event is nil")
	// ErrInvalidName: EventType is not 1 to 200 bytes of printable UTF-8 without spaces.
	ErrInvalidName = errors.New("invalid name")
	// ErrTypeConflict: another Go type has the event's name already; or EventType depends on the value; or, of Forward,
	// Redeliver and Amend, the subscriber does not take events of that type.
	ErrTypeConflict = errors.New("event name belongs to another Go type")
	// ErrKeyTooLarge: EventKey is longer than 1 KiB.
	ErrKeyTooLarge = errors.New("event key is too large")
	// ErrHopLimit: the event, or the question, would have more causes before it than WithHopLimit allows.
	ErrHopLimit = errors.New("chain of causes is too long")
	// ErrInvalidEnvelope: an envelope that was made elsewhere lacks something; or EventVersion is below 1; or the time
	// given to Schedule is beyond what an envelope can have.
	ErrInvalidEnvelope = errors.New("invalid envelope")
	// ErrQuestion: it is not an event.
	ErrQuestion = errors.New("is a question")
)

// Why a subscriber, or a whole bus, did not take an event.
var (
	// ErrClosed is what a bus says from the start of Shutdown on to everybody but its own handlers.
	ErrClosed = errors.New("closed")
	// ErrQueueFull is what a full queue says: at once with overflow policy Reject, and with Block when
	// the publisher's context or the bus's publish timeout ended first.
	ErrQueueFull = errors.New("queue full")
	// ErrReserveFull is what a handler's Publish gets when a queue has used up its reserve too.
	ErrReserveFull = errors.New("queue and its reserve full")
	// ErrPaused is what a subscription made WithSync, or by Answer, says while it is paused.
	ErrPaused = errors.New("paused")
	// ErrNoSubscription says that no subscription of that name is open.
	ErrNoSubscription = errors.New("no such subscription")
	// ErrNoAnswer is what Ask returns when nobody answers questions of that type.
	ErrNoAnswer = errors.New("nobody answers this question")
)

// Why a context given to a handler has ended (context.Cause).
var (
	// ErrTimeout: the attempt took longer than WithTimeout allows.
	ErrTimeout = errors.New("handler timeout")
	// ErrDeadline: Shutdown or Close waited as long as its context allowed.
	ErrDeadline = errors.New("shutdown deadline")
	// ErrDeliveryEnded: the handler has returned.
	ErrDeliveryEnded = errors.New("delivery ended")
)

// ErrHeldBack is the cause of an UnhandledError when all that was not handled was parked behind a dead letter,
// paused, or scheduled: Shutdown and Close do not wait for that, however long they may.
var ErrHeldBack = errors.New("parked, paused or scheduled")

// What misuse from inside a handler is answered with.
var (
	// ErrReentrant: a handler asked the bus to wait for that very handler.
	ErrReentrant = errors.New("called from the handler it would wait for")
	// ErrCalledTwice: a middleware called its next handler a second time for one attempt.
	ErrCalledTwice = errors.New("handler called twice in one attempt")
	// ErrForeignContext: a middleware called its next handler with a context that does not stem from its own.
	ErrForeignContext = errors.New("middleware replaced the delivery's context")
)

// PublishError says which subscribers did not take an event. Every other subscriber has taken it:
// Forward(ctx, e.Envelope, e.Subscribers()...) tries again without repeating it for them.
//
// A subscription made WithSync is named also when it has taken the event and its handler has failed: Forward to it runs
// the handler again, beside the dead letter.
type PublishError struct {
	Envelope *Envelope
	Refusals []Refusal // in the order of subscription, at least one
}

// Refusal is one subscriber's reason not to take an event: a full queue, the end of the publisher's
// context, or, from a subscription made WithSync, what its handler returned.
type Refusal struct {
	Subscriber string
	Err        error
}

func (e *PublishError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "jitney: publish %s", e.Envelope)
	for i, r := range e.Refusals {
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		fmt.Fprintf(&b, "%sto %s: %s", sep, r.Subscriber, errorText(r.Err))
	}
	return b.String()
}

// Unwrap returns each subscriber's reason.
func (e *PublishError) Unwrap() []error {
	errs := make([]error, len(e.Refusals))
	for i, r := range e.Refusals {
		errs[i] = r.Err
	}
	return errs
}

// Subscribers returns the names of those in Refusals.
func (e *PublishError) Subscribers() []string {
	names := make([]string, len(e.Refusals))
	for i, r := range e.Refusals {
		names[i] = r.Subscriber
	}
	return names
}

// unsupported returns an error that is errors.ErrUnsupported, and does not say so twice.
func unsupported(text string) error { return unsupportedError(text) }

type unsupportedError string

func (e unsupportedError) Error() string      { return string(e) }
func (unsupportedError) Is(target error) bool { return target == errors.ErrUnsupported }
