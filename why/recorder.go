package why

import (
	"container/list"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
)

// Recorder keeps the latest flows of the buses that it is given to with jitney.WithRecorder. The zero value is ready to
// use; its methods may be called by several goroutines at once.
type Recorder struct {
	// Events and Flows are how many it keeps at most. Beyond that the flow that has been quiet for longest is
	// forgotten; of a flow that alone is too large, the earliest events are. Defaults 10,000 and 1,000. They must not be
	// changed once it is in use.
	Events, Flows int
	// Only, if not nil, says which events it keeps: those of one flow, say, or every hundredth flow. It is called by
	// several goroutines at once. It must not be changed once the recorder is in use. Default: all.
	Only func(env *jitney.Envelope) bool

	mu        sync.Mutex
	flows     map[string]*list.Element // of *kept, by correlation
	quiet     list.List                // the flows, that which has been quiet for longest first
	events    map[uuid.UUID]string     // correlation of each event
	forgotten int
}

// kept is a flow that is recorded.
type kept struct{ Flow }

// Published implements jitney.Recorder.
func (r *Recorder) Published(env *jitney.Envelope, by *jitney.Delivery, to []string) {
	if r.Only != nil && !r.Only(env) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.event(env).published(by.Subscriber, to)
}

// Attempted implements jitney.Recorder.
func (r *Recorder) Attempted(a jitney.Attempted) {
	if r.Only != nil && !r.Only(a.Envelope) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.event(a.Envelope).to(a.Subscriber).attempted(&a)
}

// event returns what is kept of an event, and makes room for it. Called with mu held, as all that follows it.
func (r *Recorder) event(env *jitney.Envelope) *Event {
	if correlation, known := r.events[env.ID]; known {
		f := r.flow(correlation)
		at, _ := f.find(env.ID)
		return &f.Events[at]
	}
	f := r.flow(env.CorrelationID())
	missing := f.Missing
	f.Add(env)
	f.Missing = missing // an event that is new was none of them
	r.events[env.ID] = f.Correlation
	r.forget(f, env.ID)
	at, _ := f.find(env.ID)
	return &f.Events[at]
}

// flow returns the flow of that correlation, begun if need be. It is not quiet.
func (r *Recorder) flow(correlation string) *kept {
	if e := r.flows[correlation]; e != nil {
		r.quiet.MoveToBack(e)
		return e.Value.(*kept)
	}
	if r.flows == nil {
		r.flows, r.events = make(map[string]*list.Element), make(map[uuid.UUID]string)
	}
	f := &kept{Flow{Correlation: correlation}}
	r.flows[correlation] = r.quiet.PushBack(f)
	return f
}

// forget keeps r within its bounds, but never forgets the event of that id, which is f's.
func (r *Recorder) forget(f *kept, id uuid.UUID) {
	for len(r.events) > max(or(r.Events, 10_000), 1) || r.quiet.Len() > max(or(r.Flows, 1_000), 1) {
		if e := r.quiet.Front(); e.Value.(*kept) != f {
			r.forgetFlow(e)
			continue
		}
		at := 0
		if f.Events[0].ID == id { // it has come late
			at = 1
		}
		delete(r.events, f.Events[at].ID)
		f.Events = slices.Delete(f.Events, at, at+1)
		f.Missing++
		r.forgotten++
	}
}

func (r *Recorder) forgetFlow(e *list.Element) {
	f := r.quiet.Remove(e).(*kept)
	delete(r.flows, f.Correlation)
	for i := range f.Events {
		delete(r.events, f.Events[i].ID)
	}
	r.forgotten += len(f.Events)
}

func or(n, otherwise int) int {
	if n > 0 {
		return n
	}
	return otherwise
}

// Flow returns what is known of the flow of that correlation, and false if nothing is.
func (r *Recorder) Flow(correlation string) (Flow, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.flows[correlation]
	if e == nil {
		return Flow{}, false
	}
	return e.Value.(*kept).copy(), true
}

// FlowOf returns the flow that the event of that ID belongs to, and false if it is not known.
func (r *Recorder) FlowOf(event uuid.UUID) (Flow, bool) {
	r.mu.Lock()
	correlation, known := r.events[event]
	r.mu.Unlock()
	if !known {
		return Flow{}, false
	}
	return r.Flow(correlation)
}

// Correlations are those of all flows it keeps, the one that was active last at the end.
func (r *Recorder) Correlations() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]string, 0, r.quiet.Len())
	for e := r.quiet.Front(); e != nil; e = e.Next() {
		all = append(all, e.Value.(*kept).Correlation)
	}
	return all
}

// Forgotten is how many events it has forgotten to stay within its bounds.
func (r *Recorder) Forgotten() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.forgotten
}

func (f Flow) copy() Flow {
	f.Events = slices.Clone(f.Events)
	for i := range f.Events {
		e := &f.Events[i]
		e.Deliveries = slices.Clone(e.Deliveries)
		for j := range e.Deliveries {
			e.Deliveries[j].Attempts = slices.Clone(e.Deliveries[j].Attempts)
		}
	}
	return f
}
