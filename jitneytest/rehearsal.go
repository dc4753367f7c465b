package jitneytest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/wire"
)

// lateBy is how long an event that is late stays unseen.
const lateBy = 2 * time.Millisecond

// Rehearsal is a [MemoryJournal] that behaves as a [Profile] says, so that a program meets in its tests what it will meet
// on an engine: handlers run again for what they have handled, events come late, twice or before others, and it is
// not known whether an Append has succeeded.
//
// A bus's Flush also waits for what a Rehearsal gives again, so that a test can look at what has come of everything
// when Flush has returned.
type Rehearsal struct {
	*MemoryJournal
	profile Profile

	mu      sync.Mutex // before MemoryJournal's
	dice    dice
	doubted map[uuid.UUID]bool
	visible map[uuid.UUID]time.Time // when a late event is
	cursors map[*rehearsed]bool     // those open
	losses  int64                   // how often a settlement, or a place, was lost
	faults  []Fault
}

// Rehearse returns an empty journal that behaves as p says, for events of these types. If t fails, the log has the seed
// and what was done to which event.
func Rehearse(t testing.TB, p Profile, types *wire.Types) *Rehearsal {
	t.Helper()
	for p.Seed == 0 {
		p.Seed = rand.Uint64()
	}
	r := &Rehearsal{
		MemoryJournal: NewMemoryJournal(types), profile: p, dice: newDice(p.Seed),
		doubted: make(map[uuid.UUID]bool), visible: make(map[uuid.UUID]time.Time), cursors: make(map[*rehearsed]bool),
	}
	t.Cleanup(func() {
		if t.Failed() {
			faults := r.Faults()
			t.Logf("rehearsal %s with seed %d: %d faults%s", p.Name, p.Seed, len(faults), lines(faults))
		}
	})
	return r
}

// Faults returns what has been done so far, in its order.
func (r *Rehearsal) Faults() []Fault {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.faults)
}

// Capabilities implements [jitney.Capable], as the profile says.
func (r *Rehearsal) Capabilities() []jitney.Capability { return r.profile.capabilities() }

// Append implements [jitney.Journal].
func (r *Rehearsal) Append(ctx context.Context, envs ...*jitney.Envelope) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if len(envs) == 0 {
		return nil
	}
	if err := r.accepts(envs); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, env := range envs {
		r.dice.meet(env)
	}
	doubt := r.doubt(envs[0])
	if doubt == LostInDoubt {
		return r.inDoubt(doubt, envs)
	}
	r.forget(envs)
	r.delay(envs)
	if err := r.MemoryJournal.Append(ctx, envs...); err != nil || doubt == "" {
		return err
	}
	return r.inDoubt(doubt, envs)
}

// accepts says which of envs the engine would refuse.
func (r *Rehearsal) accepts(envs []*jitney.Envelope) error {
	for _, env := range envs {
		m, err := wire.Encode(env, wire.Limits{})
		if err != nil {
			return err
		}
		if n := size(m); r.profile.MaxEvent > 0 && n > r.profile.MaxEvent {
			return fmt.Errorf("%w: %s: %d bytes with its attributes, at most %d", wire.ErrPayloadTooLarge, env, n, r.profile.MaxEvent)
		}
	}
	if r.profile.NoBatches && len(envs) > 1 {
		return fmt.Errorf("%w: %d events at once, from %s on", errors.ErrUnsupported, len(envs), envs[0])
	}
	return nil
}

func size(m wire.Message) int {
	n := len(m.Data)
	for name, value := range m.Attributes {
		n += len(name) + len(value)
	}
	return n
}

// Crash frees all names, as the death of a process does: what its cursors have settled since the last time it was
// stored is forgotten, they give nothing more, and what they settle from now on is ignored. types are those that the
// next program knows.
func (r *Rehearsal) Crash(types *wire.Types) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.MemoryJournal.Crash(types)
	for c := range r.cursors {
		c.forget()
		c.dead = true
		delete(r.cursors, c)
	}
}

// End implements [jitney.Journal]. It is one more for each time that something was to be given again: who has seen
// that a subscriber has come through the journal, and that this has not changed meanwhile, knows that it has settled all.
func (r *Rehearsal) End(ctx context.Context) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	end, err := r.MemoryJournal.End(ctx)
	return end + r.losses, err
}

// Open implements [jitney.Journal].
func (r *Rehearsal) Open(ctx context.Context, d jitney.Durable) (jitney.Cursor, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	inner, err := r.MemoryJournal.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	c := newRehearsed(r, inner.(*memoryCursor), d)
	r.cursors[c] = true
	return c, nil
}

// What follows is called with mu held.

// note keeps what is done to an event, if it can be read.
func (r *Rehearsal) note(kind, subscriber string, env *jitney.Envelope) {
	if env != nil {
		r.faults = append(r.faults, Fault{kind, env.ID, env.Type, subscriber})
	}
}

// hits reports whether an event is one of those that a rate hits.
func (r *Rehearsal) hits(rate float64, env *jitney.Envelope, kind, subscriber string) bool {
	return env != nil && r.dice.throw(env.ID, kind, subscriber) < rate
}

// doubt decides whether the publisher of events, of which env is the first, is told what has become of them.
func (r *Rehearsal) doubt(env *jitney.Envelope) string {
	if r.doubted[env.ID] || !r.hits(r.profile.Indeterminate, env, StoredInDoubt, "") {
		return ""
	}
	r.doubted[env.ID] = true
	if r.hits(0.5, env, LostInDoubt, "") {
		return LostInDoubt
	}
	return StoredInDoubt
}

func (r *Rehearsal) inDoubt(doubt string, envs []*jitney.Envelope) error {
	for _, env := range envs {
		r.note(doubt, "", env)
	}
	return fmt.Errorf("%w: %s", jitney.ErrIndeterminate, envs[0])
}

// forget forgets IDs that are too far back.
func (r *Rehearsal) forget(envs []*jitney.Envelope) {
	j := r.MemoryJournal
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, env := range envs {
		at, stored := j.byID[env.ID]
		if stored && r.profile.Remembers != 0 && at < len(j.log)-r.profile.Remembers {
			delete(j.byID, env.ID)
			r.note(StoredTwice, "", env)
		}
	}
}

// delay decides whether events are seen late.
func (r *Rehearsal) delay(envs []*jitney.Envelope) {
	if !r.hits(r.profile.Late, envs[0], SeenLate, "") {
		return
	}
	at := time.Now().Add(lateBy)
	for _, env := range envs {
		if _, known := r.visible[env.ID]; !known {
			r.visible[env.ID] = at
			r.note(SeenLate, "", env)
		}
	}
}

// lose has all cursors say that they have come through the journal once more.
func (r *Rehearsal) lose() {
	r.losses++
	for c := range r.cursors {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}
