package jitneytest

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
)

// What a [Rehearsal] does to events.
const (
	// StoredInDoubt and LostInDoubt are Appends that were answered with jitney.ErrIndeterminate: the events are stored, or
	// they are not.
	StoredInDoubt = "stored in doubt"
	LostInDoubt   = "lost in doubt"
	// StoredTwice is an event that was published again after its ID had been forgotten.
	StoredTwice = "stored twice"
	// SeenLate is an event that subscribers see later than its publisher has been told that it is stored.
	SeenLate = "seen late"
	// Overtaking is an event that has come before an earlier one of another key.
	Overtaking = "overtaking"
	// GivenTwice is an event that has come twice for no reason.
	GivenTwice = "given twice"
	// AckLost is an event that comes again because its settlement was lost.
	AckLost = "ack lost"
	// PlaceLost is an event at whose settlement the subscriber has lost its place, and that comes again with
	// others; what had been settled of those is GivenAgain.
	PlaceLost = "place lost"
	// GivenAgain is an event that comes again because its settlement had not been stored when the subscriber lost its
	// place, or at a Crash.
	GivenAgain = "given again"
)

// Fault is something that a [Rehearsal] has done to an event.
type Fault struct {
	Kind       string
	Event      uuid.UUID
	Type       string
	Subscriber string // "" if it was done to the publisher
}

// String names the event without its payload.
func (f Fault) String() string {
	if f.Subscriber == "" {
		return fmt.Sprintf("%s: %s %s", f.Kind, f.Type, f.Event)
	}
	return fmt.Sprintf("%s: %s %s to %s", f.Kind, f.Type, f.Event, f.Subscriber)
}

// maxListed is how many faults the log of a failed test lists.
const maxListed = 500

func lines(faults []Fault) string {
	var text strings.Builder
	for i, f := range faults {
		if i == maxListed {
			fmt.Fprintf(&text, "\n\tand %d more", len(faults)-i)
			break
		}
		text.WriteString("\n\t" + f.String())
	}
	return text.String()
}

// dice say what happens to an event. They fall alike for one seed, and for events of one type and key that are published
// in the same order: IDs differ from run to run.
type dice struct {
	seed   uint64
	first  map[uint64]uint64    // how many events there have been, by type and key
	prints map[uuid.UUID]uint64 // what tells an event from others in every run
}

func newDice(seed uint64) dice {
	return dice{seed, make(map[uint64]uint64), make(map[uuid.UUID]uint64)}
}

// meet makes an event known.
func (d *dice) meet(env *jitney.Envelope) {
	if _, known := d.prints[env.ID]; known {
		return
	}
	of := digest(env.Type, env.Key)
	d.first[of]++
	d.prints[env.ID] = digest(string(binary.BigEndian.AppendUint64(nil, of)), string(binary.BigEndian.AppendUint64(nil, d.first[of])))
}

// throw returns a number from 0 up to 1 for an event, a subscriber, and a kind of fault.
func (d *dice) throw(id uuid.UUID, kind, subscriber string) float64 {
	return rand.New(rand.NewPCG(d.seed, d.prints[id]^digest(kind, subscriber))).Float64()
}

func digest(parts ...string) uint64 {
	h := fnv.New64a()
	for _, p := range parts {
		_, _ = h.Write(append([]byte(p), 0))
	}
	return h.Sum64()
}
