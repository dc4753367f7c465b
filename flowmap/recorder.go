package flowmap

import (
	"maps"
	"slices"
	"sync"

	"github.com/jitney-go/jitney"
)

// Recorder learns which way events go on the buses that it is given to with jitney.WithRecorder. The zero value is ready
// to use; its methods may be called by several goroutines at once. What it keeps is bounded by how many types, subscribers
// and sources there are.
type Recorder struct {
	mu      sync.RWMutex
	types   map[string]bool
	outside map[edge]bool // from a source to a type
	heard   map[edge]bool // from a type to a subscriber
	caused  map[way]bool
}

type edge struct{ from, to string }

// way is what a subscriber has published because of an event.
type way struct{ because, subscriber, publishes string }

// Published implements jitney.Recorder.
func (r *Recorder) Published(env *jitney.Envelope, by *jitney.Delivery, to []string) {
	if by.Subscriber == "" {
		put(r, &r.outside, edge{env.Source, env.Type})
	} else {
		put(r, &r.caused, way{by.Type, by.Subscriber, env.Type})
	}
	put(r, &r.types, env.Type)
	for _, name := range to {
		put(r, &r.heard, edge{env.Type, name})
	}
}

// Attempted implements jitney.Recorder. It tells who hears what other processes have published.
func (r *Recorder) Attempted(a jitney.Attempted) {
	put(r, &r.types, a.Type)
	put(r, &r.heard, edge{a.Type, a.Subscriber})
}

// put notes what is nearly always known already.
func put[K comparable](r *Recorder, set *map[K]bool, key K) {
	r.mu.RLock()
	known := (*set)[key]
	r.mu.RUnlock()
	if known {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if *set == nil {
		*set = make(map[K]bool)
	}
	(*set)[key] = true
}

// Map returns what r has learned, with the subscriptions that b has now.
func (r *Recorder) Map(b *jitney.Bus) Map {
	r.mu.RLock()
	defer r.mu.RUnlock()
	types, heard := maps.Clone(r.types), maps.Clone(r.heard)
	takes := make(map[string]string)
	for e := range heard {
		takes[e.to] = ""
	}
	for w := range r.caused { // also by a subscriber of another bus
		takes[w.subscriber] = ""
	}
	for _, s := range b.Subscriptions() {
		takes[s.Name()] = s.EventType()
		if !s.Family() {
			types, heard = with(types, s.EventType()), with(heard, edge{s.EventType(), s.Name()})
		}
	}
	m := Map{Outside: r.sources(), Subscribers: []Subscriber{}, Unheard: unheard(types, heard)}
	for _, name := range slices.Sorted(maps.Keys(takes)) {
		m.Subscribers = append(m.Subscribers, Subscriber{Name: name, Takes: takes[name], On: r.on(name, heard)})
	}
	m.Cycles = m.cycles()
	return m
}

func with[K comparable](set map[K]bool, key K) map[K]bool {
	if set == nil {
		set = make(map[K]bool)
	}
	set[key] = true
	return set
}

// sources are those that publish from outside of a handler. Called with mu held, as on.
func (r *Recorder) sources() []Source {
	types := make(map[string][]string)
	for e := range r.outside {
		types[e.from] = append(types[e.from], e.to)
	}
	list := []Source{}
	for _, name := range slices.Sorted(maps.Keys(types)) {
		slices.Sort(types[name])
		list = append(list, Source{Name: name, Publishes: types[name]})
	}
	return list
}

// on is what a subscriber hears, and what it has published because of that.
func (r *Recorder) on(subscriber string, heard map[edge]bool) []On {
	publishes := make(map[string][]string)
	for e := range heard {
		if e.to == subscriber {
			publishes[e.from] = []string{}
		}
	}
	for w := range r.caused {
		if w.subscriber == subscriber {
			publishes[w.because] = append(publishes[w.because], w.publishes)
		}
	}
	list := []On{}
	for _, typ := range slices.Sorted(maps.Keys(publishes)) {
		slices.Sort(publishes[typ])
		list = append(list, On{Type: typ, Publishes: publishes[typ]})
	}
	return list
}

func unheard(types map[string]bool, heard map[edge]bool) []string {
	left := maps.Clone(types)
	for e := range heard {
		delete(left, e.from)
	}
	list := slices.Sorted(maps.Keys(left))
	return append([]string{}, list...)
}
