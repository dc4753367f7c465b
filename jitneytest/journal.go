package jitneytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/wire"
)

// JournalStore is where journals under test keep what they keep.
type JournalStore interface {
	// Open opens the store, as a program does when it starts. It is open once at a time.
	Open(types *wire.Types) (jitney.Journal, error)
	// Close closes what Open has opened; clean says whether the program ends as it should, or dies.
	Close(clean bool) error
}

// Batchless is a JournalStore whose journals store one envelope at a time. What their contract says of batches is left
// out, and where a law needs several envelopes they are stored one after the other.
type Batchless interface {
	JournalStore
	// WithoutBatches says why; "" if it can store several together after all.
	WithoutBatches() string
}

// TestJournal checks that an implementation of [jitney.Journal] keeps its contract, one subtest per sentence. newStore
// returns an empty store each time.
func TestJournal(t *testing.T, newStore func(t *testing.T) JournalStore, opts ...JournalOption) {
	obeys(t, journalLaws, func(t *testing.T) *journalRig {
		r := &journalRig{JournalStore: newStore(t)}
		if single, is := r.JournalStore.(Batchless); is {
			r.single = single.WithoutBatches()
		}
		for _, o := range opts {
			o(r)
		}
		return r
	})
}

// JournalOption says what a journal does not promise.
type JournalOption func(*journalRig)

// OrderPerKey says that a journal keeps the order of events that have one key, and of those that have none, but not of
// all together.
func OrderPerKey() JournalOption { return func(r *journalRig) { r.perKey = true } }

var journalLaws = []law[*journalRig]{
	{"What was appended comes back as it was, in order", journalKeeps},
	{"A batch is stored whole or not at all", journalAtomic},
	{"It claims no capability that it does not have", journalCapable},
	{"An envelope with the same ID is stored once, another under it is a conflict", journalOnce},
	{"A publisher whose context has ended stores nothing", journalCancelled},
	{"A cursor has come to End when it has returned all there is, and not before", journalEnd},
	{"A new subscriber begins at the end, at the beginning or at a time", journalStarts},
	{"A name is open once", journalNameOnce},
	{"What was settled does not come again and the rest does, in order", journalResumes},
	{"What was settled before a death may come again, the rest does, and nothing is skipped", journalSurvives},
	{"Next returns at most as many entries as asked for, and waits for the first", journalNext},
	{"The first Next says how far it is, without waiting", journalFirst},
	{"A subscriber to one type gets no other, and learns how far it has come", journalFilters},
	{"Unknown events wait for a program that knows them", journalUnknown},
	{"Eight publishers keep their order, and all subscribers see the same", journalOrder},
	{"What was postponed comes again before later ones, with the last of how far it had come", journalPostpones},
	{"What holds a subscriber back is told when its place is opened again", journalHeld},
	{"A cursor that is closed settles nothing and does no harm", journalClosed},
}

// unheardOf is an event that only later programs know.
type unheardOf struct{ N int }

func (unheardOf) EventType() string { return "jitneytest.unheard_of" }

// journalRig is a store, and what is open of it.
type journalRig struct {
	JournalStore
	jitney.Journal
	n      int    // events made
	perKey bool   // order is that of a key only
	single string // why it stores one at a time; "" if it stores several together
}

// Append appends envs together, or, where that is left out, one after the other.
func (r *journalRig) Append(ctx context.Context, envs ...*jitney.Envelope) error {
	if r.single == "" {
		return r.Journal.Append(ctx, envs...)
	}
	for _, env := range envs {
		if err := r.Journal.Append(ctx, env); err != nil {
			return err
		}
	}
	return nil
}

// leftOutError says why a law is not for what is tested.
type leftOutError struct{ why string }

func (e *leftOutError) Error() string { return "left out: " + e.why }

// begin starts a program; later programs know unheardOf too.
func (r *journalRig) begin(later bool) (err error) {
	types := Types()
	if later {
		wire.Register[unheardOf](types)
	}
	r.Journal, err = r.JournalStore.Open(types)
	return err
}

// end ends the program.
func (r *journalRig) end(clean bool) error {
	r.Journal = nil
	return r.Close(clean)
}

// run calls f with a program that has just begun, and ends it.
func (r *journalRig) run(clean bool, f func() error) error {
	if err := r.begin(false); err != nil {
		return fmt.Errorf("Open: %w", err)
	}
	return errors.Join(f(), r.end(clean))
}

func (r *journalRig) make(e jitney.Event) *jitney.Envelope {
	r.n++
	id := uuid.Must(uuid.NewV7())
	return &jitney.Envelope{ID: id, Type: e.EventType(), Version: 1, Time: died.Add(time.Duration(r.n) * time.Minute), Event: e}
}

func (r *journalRig) happen(ns ...int) (envs []*jitney.Envelope) {
	for _, n := range ns {
		envs = append(envs, r.make(happened{n}))
	}
	return envs
}

func (r *journalRig) open(ctx context.Context, name string, from jitney.Start) (jitney.Cursor, error) {
	c, err := r.Journal.Open(ctx, jitney.Durable{Name: name, From: from})
	if err != nil {
		return nil, fmt.Errorf("Open %s: %w", name, err)
	}
	return c, nil
}

// read returns the next n entries.
func read(ctx context.Context, c jitney.Cursor, n int) (entries []jitney.Entry, through int64, err error) {
	for len(entries) < n {
		var more []jitney.Entry
		more, through, err = c.Next(ctx, n-len(entries))
		if err != nil {
			return entries, through, fmt.Errorf("Next, after %d of %d entries: %w", len(entries), n, err)
		}
		entries = append(entries, more...)
	}
	return entries, through, nil
}

// numbers are those of the entries' events.
func numbers(entries []jitney.Entry) (ns []int, err error) {
	for i, e := range entries {
		if e.Err != nil {
			return nil, e.Err
		}
		h, ok := e.Envelope.Event.(happened)
		if !ok {
			return nil, fmt.Errorf("entry %d is a %T", i, e.Envelope.Event)
		}
		if i > 0 && e.Position <= entries[i-1].Position {
			return nil, fmt.Errorf("position %d after %d", e.Position, entries[i-1].Position)
		}
		ns = append(ns, h.N)
	}
	return ns, nil
}

// comes says how the next entries of c differ from ns.
func comes(ctx context.Context, c jitney.Cursor, ns ...int) ([]jitney.Entry, error) {
	entries, _, err := read(ctx, c, len(ns))
	if err != nil {
		return nil, err
	}
	got, err := numbers(entries)
	if err == nil && !slices.Equal(got, ns) {
		err = fmt.Errorf("got %v, expected %v", got, ns)
	}
	return entries, err
}

// nothing says that c has an entry although it should not.
func nothing(ctx context.Context, c jitney.Cursor) error {
	ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	for {
		entries, _, err := c.Next(ctx, 10)
		if err != nil {
			return nil
		}
		if len(entries) > 0 {
			return fmt.Errorf("got %s, expected nothing", entries[0].Envelope)
		}
	}
}
