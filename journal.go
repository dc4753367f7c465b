package jitney

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Journal keeps envelopes durably, each once and all in one order (or those of a key in one, as the journal says), and
// remembers for each durable subscriber which of them it has settled. A bus made WithJournal publishes into it, and its
// subscriptions are fed from it.
//
// Its methods may be called by several goroutines at once. It belongs to who has opened it, and is closed after the
// bus's Shutdown. Implementations must pass jitneytest.TestJournal.
type Journal interface {
	// Append stores all of envs, one behind the other, or none of them. When it returns nil they are as durable as
	// the journal promises. ErrIndeterminate says that it is not known whether they have been stored. After any
	// other error they are not, and will not be. An envelope whose ID is stored with the same content already is not
	// stored again, and no error; with another content it is ErrIDConflict. How far back a journal remembers IDs is its
	// own to say, and so is whether it takes several envelopes at a time.
	//
	// ctx says how long to wait for that; it is not what the storing depends on.
	Append(ctx context.Context, envs ...*Envelope) error
	// End returns how far the journal goes: a cursor whose through is as great has looked at all that was stored when End
	// was called. 0 if there is nothing.
	End(ctx context.Context) (int64, error)
	// Open returns the place of a durable subscriber, made as d says if there is none of its name yet. One name is
	// open once: ErrInUse otherwise.
	Open(ctx context.Context, d Durable) (Cursor, error)
}

// Durable is what a journal has to know of a subscriber.
type Durable struct {
	// Name is the subscriber's. Its place is found again under it, by another process too.
	Name string
	// Type is the name of the events it takes; "" for one that has to look at all.
	Type string
	// From is where it begins if its name is new.
	From Start
	// SideEffects says that what it has handled is not to be given to it again without being told so.
	SideEffects bool
	// Window is how many entries it has in flight at most.
	Window int
	// Held, if not nil, is called by Next before it returns entries, when the place has been opened or taken over from
	// another process, with the last Held that was stored.
	Held func(Held)
	// Recall, if not nil, takes back entries that Next has returned and that are not settled, because they are to be
	// another process's: those that have not begun are not handled here any more, nor tried again. It returns when no
	// handler of theirs runs any more; the error is ctx's. What has been handled meanwhile is settled as ever. A call of
	// Next that was under way must return before they may come again, to this process.
	Recall func(ctx context.Context, positions ...int64) error
}

// Held is what holds a subscriber back, also when the process has ended. The zero value is nothing.
type Held struct {
	Paused bool // by Subscription.Pause
	// Its breaker is open Until then, for the Trips-th time, for a Pause, because of an Err; zero if it is closed.
	Until time.Time
	Pause time.Duration
	Trips int
	Err   string
}

// Start is a place in a journal: the beginning, the end, or the first event published at a time or later. The zero
// value is the end: only what is published from now on.
type Start struct {
	beginning bool
	time      time.Time
}

// FromBeginning is before all that the journal has.
func FromBeginning() Start { return Start{beginning: true} }

// FromTime is before the first event whose Time is t or later. All that the journal has behind that one comes too, in
// its order: after a clock that was ahead, that is more than what was published since t, and never less.
func FromTime(t time.Time) Start { return Start{time: t} }

// At says what s is: the beginning, or a time, or, with neither, the end.
func (s Start) At() (beginning bool, t time.Time) { return s.beginning, s.time }

// Cursor is a durable subscriber's place in a journal. One goroutine calls Next; Settle and Postpone may be called by
// several, and do not wait.
type Cursor interface {
	// Next waits until there are entries that have been neither returned nor settled, and returns the next ones in
	// their order, at most so many. through is how far it has looked: all before it that is not among the entries needs
	// no handling. It may return no entries, only to say that; the first call does not wait, so that it is known at once
	// how far a subscriber is that has nothing to do. At the end of ctx it returns its error; any
	// other is worth another call, after a while.
	Next(ctx context.Context, most int) (entries []Entry, through int64, err error)
	// Settle says what has become of an entry. It is stored soon, and at Close; if the process dies before that, the
	// entry comes again.
	Settle(position int64, o Outcome)
	// Postpone says of an entry that is not settled how far it has come, and when it goes on. It is stored as Settle is;
	// if the entry comes again, it comes at once, before later ones, with the last Progress.
	Postpone(position int64, p Progress)
	// Hold stores what holds the subscriber back. It may wait. ErrInUse: the place is another process's.
	Hold(ctx context.Context, h Held) error
	// Close stores what has been settled, and frees the name.
	Close(ctx context.Context) error
}

// Entry is an event in a journal.
type Entry struct {
	// Position is its place. Positions rise, and need not be consecutive.
	Position int64
	// Envelope has a RawEvent if this program has no Go type for it. It is nil if Err is not.
	Envelope *Envelope
	// Crashes is at how many deaths of a process in a row this was in flight, as far as that is known; 0 after a
	// process that has ended as it should.
	Crashes int
	// Progress is how far it had come when it was postponed; nil if it was not.
	Progress *Progress
	// Err says why the entry cannot be read: what is stored is damaged, or does not fit its Go type.
	Err error
}

// Progress is how far the handling of an entry has come that waits for another attempt.
type Progress struct {
	// Attempts is how many attempts are used up, First when the first of them failed: Retry.MaxElapsed begins there, or,
	// after a clock that was ahead, when the right one gets there.
	Attempts int
	First    time.Time
	// Due is when the next one may begin, and Wait how long before that this was decided: a clock that has been set back
	// does not make the wait longer.
	Due  time.Time
	Wait time.Duration
	// Last is the last attempt.
	Last Attempt
}

// Left is how long there is to wait at a time.
func (p Progress) Left(now time.Time) time.Duration { return min(max(p.Due.Sub(now), 0), p.Wait) }

// Outcome is what becomes of an entry that a cursor has returned.
type Outcome uint8

const (
	// Settled says that it has been handled, skipped or given up, or it is not for this subscriber.
	Settled Outcome = iota
	// Unknown says that this program cannot decode it. It is put aside, counted, and comes again when the cursor is opened
	// by a program that can.
	Unknown
)

// What a Journal answers.
var (
	// ErrIndeterminate: it is not known whether the events have been stored. To publish the same envelope again
	// (Forward) stores it once, as far as the journal remembers its ID.
	ErrIndeterminate = errors.New("it is not known whether this was stored")
	// ErrNotDurable: the journal's settings do not let it keep its promise.
	ErrNotDurable = errors.New("settings are not durable")
	// ErrIDConflict: another event is stored under the same ID.
	ErrIDConflict = errors.New("another event has this ID")
	// ErrInUse: somebody else has it open.
	ErrInUse = errors.New("in use")
	// ErrFedByJournal: Forward cannot name a durable subscription, which is fed by the journal alone.
	ErrFedByJournal = errors.New("subscription is durable: its journal feeds it")
)

// record stores the postings' envelopes, all or none.
func (b *Bus) record(ctx context.Context, ps []posting) error {
	envs := make([]*Envelope, 0, 1)
	for i := range ps {
		envs = append(envs, ps[i].env)
	}
	err := contain(func() error { return b.journal.Append(ctx, envs...) })
	if err == nil {
		return nil
	}
	unpublished(ps, err)
	return &AppendError{envs, err}
}

// AppendError is the error of a Publish or Forward whose events the journal has not confirmed. After ErrIndeterminate,
// Forward(ctx, env) of each envelope, in order, until it returns nil, stores each of them once, as far as the journal
// remembers their IDs.
type AppendError struct {
	Envelopes []*Envelope // in the order of the events
	Err       error
}

func (e *AppendError) Error() string {
	more := ""
	if n := len(e.Envelopes) - 1; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("jitney: publish %s%s: %s", e.Envelopes[0], more, errorText(e.Err))
}

// Unwrap returns Err.
func (e *AppendError) Unwrap() error { return e.Err }
