package why

import (
	"bytes"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
)

// Flow is what is known of the events of one correlation. The zero value knows nothing. It is a copy: what the recorder
// learns later is not in it.
type Flow struct {
	Correlation string
	// Events are in the order of their publication, which is that of their IDs.
	Events []Event
	// Missing counts earlier events of the flow that were not kept.
	Missing int
}

// Event is an event of a flow, or a question, whose one delivery is to its answerer.
type Event struct {
	ID     uuid.UUID
	Type   string
	Time   time.Time // of its publication
	Source string    // of its envelope
	// Cause is the event whose handler published it, or asked; uuid.Nil if none did. Publisher is that handler's subscriber; ""
	// if there is none, or it is not known.
	Cause     uuid.UUID
	Publisher string
	// Seen says that its publication was recorded. Only then it is known that an event without Deliveries was heard by
	// nobody.
	Seen bool
	// Deliveries are in the order of Subscribe, as far as that is known.
	Deliveries []Delivery
}

// Delivery is what has become of an event at one subscriber.
type Delivery struct {
	Subscriber string
	// Attempts are in their order; none if none has been seen to end. Of more than 16 the middle is left out, and Left
	// says how many that are.
	Attempts []Attempt
	Left     int
}

// Attempt is one attempt of a delivery, or, with neither Began nor Took, the end of it without one. Its fields are those
// of jitney.Attempted; of Error it has the beginning, in one line.
type Attempt struct {
	Number, Redeliveries int
	Began                time.Time
	Took                 time.Duration
	Error                string
	Outcome, Reason      string
	Wait                 time.Duration
}

// Add adds events that f does not have yet, such as those that a journal has of it. What it has it knows better. If f
// has no Correlation it takes the first one's. Each one added is one less that is Missing.
func (f *Flow) Add(envs ...*jitney.Envelope) {
	for _, env := range envs {
		at, known := f.find(env.ID)
		if known {
			continue
		}
		if f.Correlation == "" {
			f.Correlation = env.CorrelationID()
		}
		f.Events = slices.Insert(f.Events, at, newEvent(env))
		f.Missing = max(f.Missing-1, 0)
	}
}

// find returns where the event of that ID is, or would be.
func (f *Flow) find(id uuid.UUID) (at int, known bool) {
	return slices.BinarySearchFunc(f.Events, id, func(e Event, id uuid.UUID) int { return bytes.Compare(e.ID[:], id[:]) })
}

func newEvent(env *jitney.Envelope) Event {
	return Event{ID: env.ID, Type: env.Type, Time: env.Time, Source: env.Source, Cause: env.CausationID}
}

// published notes who published e, and whom it is for.
func (e *Event) published(by string, to []string) {
	before := e.Deliveries
	if !e.Seen { // what has been attempted already comes in the order of Subscribe as well
		e.Seen, e.Publisher, e.Deliveries = true, by, nil
	}
	for _, name := range to {
		e.to(name)
	}
	for _, d := range before {
		*e.to(d.Subscriber) = d
	}
}

// to returns the delivery to a subscriber.
func (e *Event) to(subscriber string) *Delivery {
	at := slices.IndexFunc(e.Deliveries, func(d Delivery) bool { return d.Subscriber == subscriber })
	if at < 0 {
		at = len(e.Deliveries)
		e.Deliveries = append(e.Deliveries, Delivery{Subscriber: subscriber})
	}
	return &e.Deliveries[at]
}

// What is kept of a delivery.
const (
	maxAttempts = 16
	maxText     = 200
)

func (d *Delivery) attempted(a *jitney.Attempted) {
	if len(d.Attempts) == maxAttempts {
		d.Attempts = slices.Delete(d.Attempts, maxAttempts/2, maxAttempts/2+1)
		d.Left++
	}
	d.Attempts = append(d.Attempts, Attempt{
		Number: a.Attempt, Redeliveries: a.Redeliveries, Began: a.Began, Took: a.Took,
		Error: line(a.Error), Outcome: a.Outcome, Reason: a.Reason, Wait: a.Wait,
	})
}
