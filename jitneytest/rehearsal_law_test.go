package jitneytest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/wire"
)

// deviations are the laws of a journal that do not hold under a profile, whatever a program does about it.
var deviations = map[string]map[string]string{
	"InProcess": {},
	"SQL":       {postponedLaw: tooLate},
	"NATS":      {postponedLaw: tooLate},
	"Kafka":     {postponedLaw: tooLate, inOrderLaw: otherKeys, storedOnceLaw: noMemory, startsLaw: noMemory, atEndLaw: secondTime, firstNextLaw: secondTime},
	"Worst": {
		postponedLaw: tooLate, inOrderLaw: otherKeys, storedOnceLaw: noMemory, atEndLaw: secondTime, firstNextLaw: secondTime,
		atomicLaw: "there are no batches",
	},
}

const (
	postponedLaw  = "What was postponed comes again before later ones, with the last of how far it had come"
	tooLate       = "what the cursor is told between the loss of the place and the next call of Next is ignored"
	inOrderLaw    = "What was appended comes back as it was, in order"
	otherKeys     = "events of other keys may come before"
	storedOnceLaw = "An envelope with the same ID is stored once, another under it is a conflict"
	startsLaw     = "A new subscriber begins at the end, at the beginning or at a time"
	noMemory      = "no ID is remembered"
	atEndLaw      = "End is the position of the newest event"
	firstNextLaw  = "The first Next says how far it is, without waiting"
	secondTime    = "Next has not come through while it is to give an event a second time"
	atomicLaw     = "A batch is stored whole or not at all"
)

var profiles = []Profile{InProcess, SQL, NATS, Kafka, Worst}

// What Append leaves in doubt is appended again, batches are appended one by one where there are none, and what has
// come before does not come again: with these, which any program needs, the contract holds.
func TestTheContractHoldsInARehearsal(t *testing.T) {
	for _, p := range profiles {
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("%s/%d", p.Name, seed+1), func(t *testing.T) {
				t.Parallel()
				for _, l := range journalLaws {
					if deviations[p.Name][l.name] == "" {
						require.NoError(t, keeps(t, p.WithSeed(seed+1), l), l.name)
					}
				}
			})
		}
	}
}

func TestEachDeviationFromTheContractIsReal(t *testing.T) {
	for _, p := range profiles {
		for name := range deviations[p.Name] {
			t.Run(p.Name+"/"+name, func(t *testing.T) {
				t.Parallel()
				for _, l := range journalLaws {
					if l.name == name {
						require.Error(t, breaks(t, p, l))
						return
					}
				}
				t.Error("there is no such law")
			})
		}
	}
}

// breaks looks for a seed under which a law does not hold.
func breaks(t *testing.T, p Profile, l law[*journalRig]) (err error) {
	for seed := uint64(1); err == nil && seed < 300; seed++ {
		err = keeps(t, p.WithSeed(seed), l)
	}
	return err
}

func keeps(t *testing.T, p Profile, l law[*journalRig]) error {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return l.check(ctx, &journalRig{JournalStore: &rehearsedStore{t: t, profile: p, outcomes: make(map[receipt]jitney.Outcome)}})
}

// rehearsedStore is a rehearsal, with what a program does about its faults.
type rehearsedStore struct {
	*Rehearsal
	t        *testing.T
	profile  Profile
	mu       sync.Mutex
	outcomes map[receipt]jitney.Outcome // as an inbox has them
}

type receipt struct {
	subscriber string
	event      uuid.UUID
}

func (s *rehearsedStore) Open(types *wire.Types) (jitney.Journal, error) {
	if s.Rehearsal == nil {
		s.Rehearsal = Rehearse(s.t, s.profile, types)
	}
	s.Crash(types)
	return &patient{s.Rehearsal, s}, nil
}

func (s *rehearsedStore) Close(bool) error { return nil }

type patient struct {
	*Rehearsal
	s *rehearsedStore
}

func (j *patient) Append(ctx context.Context, envs ...*jitney.Envelope) error {
	if len(envs) > 1 && j.s.profile.NoBatches {
		for _, env := range envs {
			if err := j.Append(ctx, env); err != nil {
				return err
			}
		}
		return nil
	}
	for {
		if err := j.Rehearsal.Append(ctx, envs...); !errors.Is(err, jitney.ErrIndeterminate) {
			return err
		}
	}
}

func (j *patient) Open(ctx context.Context, d jitney.Durable) (jitney.Cursor, error) {
	c, err := j.Rehearsal.Open(ctx, d)
	return &once{c, j.s, d.Name, make(map[int64]uuid.UUID), make(map[uuid.UUID]bool), false}, err
}

// once is a cursor that gives nothing twice.
type once struct {
	jitney.Cursor
	s    *rehearsedStore
	name string
	ids  map[int64]uuid.UUID
	seen map[uuid.UUID]bool
	over bool
}

func (c *once) Next(ctx context.Context, most int) (entries []jitney.Entry, through int64, err error) {
	all, through, err := c.Cursor.Next(ctx, most)
	for _, e := range all {
		id := e.Envelope.ID
		o, handled := c.outcome(id)
		_, raw := e.Envelope.Event.(jitney.RawEvent)
		c.ids[e.Position] = id
		switch {
		case handled && (c.seen[id] || raw || o == jitney.Settled):
			c.Cursor.Settle(e.Position, o)
		case !c.seen[id]:
			entries = append(entries, e)
		}
		c.seen[id] = true
	}
	return entries, through, err
}

func (c *once) outcome(id uuid.UUID) (o jitney.Outcome, handled bool) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	o, handled = c.s.outcomes[receipt{c.name, id}]
	return o, handled
}

func (c *once) Settle(position int64, o jitney.Outcome) {
	if c.over {
		return
	}
	c.s.mu.Lock()
	c.s.outcomes[receipt{c.name, c.ids[position]}] = o
	c.s.mu.Unlock()
	c.Cursor.Settle(position, o)
}

func (c *once) Close(ctx context.Context) error {
	c.over = true
	return c.Cursor.Close(ctx)
}
