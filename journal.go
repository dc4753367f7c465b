package jitney

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Journal keeps envelopes durably, each once and all in one order, and remembers for each durable subscriber which
// of them it has settled. A bus made WithJournal publishes into it, and its subscriptions are fed from it.
//
// Its methods may be called by several goroutines at once. It belongs to who has opened it, and is closed after the
// bus's Shutdown. Implementations must pass jitneytest.TestJournal.
type Journal interface {
	// Append stores all of envs, one behind the other, or none of them. When it returns nil they are as durable as
	// the journal promises. ErrIndeterminate says that it is not known whether they have been stored. After any
	// other error they are not, and will not be. An envelope whose ID is stored with the same content already is not
	// stored again, and no error; with another content it is ErrIDConflict.
	//
	// ctx says how long to wait for that; it is not what the storing depends on.
	Append(ctx context.Context, envs ...*Envelope) error
	// End returns the position of the newest event that is stored; 0 if there is none.
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
}

// Start is a place in a journal: the beginning, the end, or the first event published at a time or later. The zero
// value is the end: only what is published from now on.
type Start struct {
	beginning bool
	time      time.Time
}

// FromBeginning is before all that the journal has.
func FromBeginning() Start { return Start{beginning: true} }

// FromTime is before the first event whose Time is t or later.
func FromTime(t time.Time) Start { return Start{time: t} }

// At says what s is: the beginning, or a time, or, with neither, the end.
func (s Start) At() (beginning bool, t time.Time) { return s.beginning, s.time }

// Cursor is a durable subscriber's place in a journal. One goroutine calls Next; Settle may be called by several, and
// does not wait.
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
	// Err says why the entry cannot be read: what is stored is damaged, or does not fit its Go type.
	Err error
}

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
	// (Forward) stores it once.
	ErrIndeterminate = errors.New("it is not known whether this was stored")
	// ErrNotDurable: the journal's settings do not let it keep its promise.
	ErrNotDurable = errors.New("settings are not durable")
	// ErrIDConflict: another event is stored under the same ID.
	ErrIDConflict = errors.New("another event has this ID")
	// ErrInUse: somebody else has it open.
	ErrInUse = errors.New("in use")
	// ErrDurable: Forward cannot name a durable subscription, which is fed by the journal alone.
	ErrDurable = errors.New("subscription is durable: its journal feeds it")
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
	return fmt.Errorf("jitney: publish %s%s: %w", envs[0], andMore(len(envs)-1), err)
}

func andMore(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n)
}
