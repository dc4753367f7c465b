package jitney

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"
)

// DeadLetter is a delivery that its subscriber could not handle. [Bus.Redeliver] hands it to that
// subscriber again.
type DeadLetter struct {
	// ID is the letter's own, a UUIDv7: letters sort by the time they died first, those of durable subscriptions by
	// the time of their event.
	ID         uuid.UUID
	Envelope   *Envelope
	Subscriber string
	// Reason is one of the Reason constants, Time when the delivery was given up.
	Reason string
	Time   time.Time
	// Attempts is how often the handler was called in all, earlier redeliveries included.
	Attempts int
	// History has the attempts that failed, oldest first. Of more than 32 the middle is left out.
	History []Attempt
	// Redeliveries counts how often the letter was redelivered and died again.
	Redeliveries int
	// Original is the envelope that died, if Amend has put another in its place; else nil.
	Original *Envelope
}

// Attempt is what is known of one failed attempt.
type Attempt struct {
	Number int       // 1 is the first of its (re)delivery
	Time   time.Time // when it failed
	Error  string    // at most 4 KiB
	Class  string    // Go type of the error: the first in its tree that is more than a wrapping
	Stack  string    // of a panic, at most 16 KiB; else ""
}

// Why a delivery was given up.
const (
	ReasonExhausted = "exhausted" // the retry policy allows no more attempts
	ReasonPermanent = "permanent" // the handler returned Permanent
	ReasonCrashed   = "crashed"   // it was in flight at three deaths of the process in a row
	ReasonAbandoned = "abandoned" // the publisher did not wait for a synchronous delivery's next attempt
)

// LastError returns the last attempt's error text.
func (l DeadLetter) LastError() string {
	if len(l.History) == 0 {
		return ""
	}
	return l.History[len(l.History)-1].Error
}

// Class returns the last attempt's error class.
func (l DeadLetter) Class() string {
	if len(l.History) == 0 {
		return ""
	}
	return l.History[len(l.History)-1].Class
}

// LogValue names the letter in a log record, without payload.
func (l DeadLetter) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("letter", l.ID.String()),
		slog.String("subscriber", l.Subscriber),
		slog.Any("event", l.Envelope),
		slog.String("reason", l.Reason),
		slog.Int("attempts", l.Attempts),
		slog.Int("redeliveries", l.Redeliveries),
		slog.String("error", l.LastError()))
}

// DeadLetterStore keeps dead letters. Its methods may be called by several goroutines at once, and
// return copies: what a caller does to a letter does not change the stored one.
//
// Implementations must pass jitneytest.TestDeadLetterStore.
type DeadLetterStore interface {
	// Add stores l. A letter with l's ID is replaced. A store that is full returns
	// ErrDeadLettersFull; the bus then holds the delivery, with its lane, and tries again.
	Add(ctx context.Context, l DeadLetter) error
	// Get returns the letter of that id, or an error that wraps ErrNoDeadLetter.
	Get(ctx context.Context, id uuid.UUID) (DeadLetter, error)
	// List returns the letters that match f, in the order of their IDs.
	List(ctx context.Context, f DeadLetterFilter) ([]DeadLetter, error)
	// Count returns how many letters match f, whatever its After and Limit.
	Count(ctx context.Context, f DeadLetterFilter) (int, error)
	// Remove deletes the letter of that id, or returns an error that wraps ErrNoDeadLetter.
	Remove(ctx context.Context, id uuid.UUID) error
}

// DeadLetterFilter selects letters. A zero field matches all.
type DeadLetterFilter struct {
	Subscriber string
	Type       string
	Error      string    // a part of the last attempt's error text
	Class      string    // the last attempt's error class
	Since      time.Time // died then or later
	Until      time.Time // died before

	After uuid.UUID // only greater IDs: the last ID of a page asks for the next one
	Limit int       // at most so many; 0: all
}

// Matches reports whether l is among those that f selects, whatever After and Limit say.
func (f DeadLetterFilter) Matches(l DeadLetter) bool {
	return (f.Subscriber == "" || f.Subscriber == l.Subscriber) &&
		(f.Type == "" || l.Envelope != nil && f.Type == l.Envelope.Type) &&
		(f.Error == "" || strings.Contains(l.LastError(), f.Error)) &&
		(f.Class == "" || f.Class == l.Class()) &&
		(f.Since.IsZero() || !l.Time.Before(f.Since)) &&
		(f.Until.IsZero() || l.Time.Before(f.Until))
}

// What a DeadLetterStore, or Redeliver, answers.
var (
	// ErrNoDeadLetter: no letter of that ID is in the store; it has been redelivered or discarded, perhaps.
	ErrNoDeadLetter = errors.New("no such dead letter")
	// ErrDeadLettersFull: the store takes no further letter; the bus holds the delivery, and tries again.
	ErrDeadLettersFull = errors.New("dead-letter store full")
	// ErrRedelivering: somebody redelivers the letter at the moment, amends or discards it.
	ErrRedelivering = errors.New("dead letter is being redelivered already")
)

// file is what has gone wrong with a delivery so far.
type file struct {
	attempts int           // used up in this (re)delivery
	first    time.Time     // when the first of them failed
	held     time.Duration // how long the queue had been held back until then
	history  []Attempt
	holds    int         // times in a row that the inbox or the letter store did not work
	letter   *DeadLetter // set when only storing it is left to do
	last     error       // of the last attempt
	due      time.Time   // of the next one, if it comes back from a batch that has failed
	kept     bool        // the journal knows of that
}

const maxHistory = 32

// record notes a failed attempt. Past maxHistory it keeps the first half and the latest of the rest.
func (f *file) record(err error, now time.Time) {
	if f.attempts == 0 {
		f.first = now
	}
	f.attempts++
	f.last = err
	a := Attempt{Number: f.attempts, Time: now, Error: errorText(err), Class: errorClass(err)}
	a.Stack = stackOf(err)
	f.history = appendAttempts(f.history, a)
}

func appendAttempts(history []Attempt, more ...Attempt) []Attempt {
	for _, a := range more {
		if len(history) == maxHistory {
			history = append(history[:maxHistory/2], history[maxHistory/2+1:]...)
		}
		history = append(history, a)
	}
	return history
}

// letter makes the dead letter of e.
func (s *Subscription) letter(e *entry, reason string, now time.Time) *DeadLetter {
	l := &DeadLetter{
		Envelope: e.env, Subscriber: s.name, Reason: reason, Time: now,
		Attempts: e.file.attempts, History: e.file.history,
	}
	switch {
	case e.again() == nil && e.position() > 0:
		l.ID = lasting(e.env.ID, s.name)
		return l
	case e.again() == nil:
		l.ID = ids.next(now.UnixNano())
		return l
	}
	before := e.again().letter
	l.ID = before.ID
	l.Attempts += before.Attempts
	l.Redeliveries = before.Redeliveries + 1
	l.Original = before.Original
	l.History = appendAttempts(append([]Attempt(nil), before.History...), l.History...)
	return l
}

// lasting is the ID of a durable subscriber's letter about an event. If the process dies before the journal knows that
// the delivery has ended, it comes again, and dies again; the letter takes the place of the first one then.
func lasting(event uuid.UUID, subscriber string) uuid.UUID {
	sum := sha256.Sum256(append(event[:], subscriber...))
	id := event
	copy(id[8:], sum[:8])
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	return id
}

// bury stores the letter of a delivery that is given up. The delivery keeps its place until then.
func (s *Subscription) bury(e *entry) verdict {
	var err error
	if s.letters != nil {
		err = contain(func() error { return s.letters.Add(s.life, *e.file.letter) })
	}
	if err == nil {
		return s.finish(e, verdict{ending: dead}, e.file.last)
	}
	return s.unburied(e, err)
}

// unburied is what follows when the letter store has failed with err.
func (s *Subscription) unburied(e *entry, err error) verdict {
	s.storeFailed(s.bus.carried(s.life, e.env), e, "jitney: dead letter not stored, its delivery is held", err)
	if s.sync { // its publisher gets the error, and cannot be held
		return s.finish(e, verdict{ending: dead}, errors.Join(e.file.last, err))
	}
	return s.hold(e)
}

// mourn logs a dead letter, whatever its store will say.
func (s *Subscription) mourn(ctx context.Context, l *DeadLetter) {
	attrs := []slog.Attr{
		slog.Any("dead_letter", *l),
		slog.Bool("to_be_stored", s.letters != nil),
		slog.String("subscribed_at", s.at),
	}
	if s.queue.parking.limit > 0 {
		attrs = append(attrs, slog.Bool("parks_its_key", true))
	}
	if last := l.History[len(l.History)-1]; last.Stack != "" {
		attrs = append(attrs, slog.String("stack", last.Stack))
	}
	s.bus.log(ctx, slog.LevelError, "jitney: dead letter", attrs...)
}
