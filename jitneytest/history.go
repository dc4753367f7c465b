package jitneytest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
)

// History records what a bus made with its Options was given and what it delivered, for Check to find
// what must not have happened. The zero value is ready to use, for one bus.
type History struct {
	mu         sync.Mutex
	tick       int
	published  []*publication
	deliveries []*attempt
}

// Anomaly is something that must not happen.
type Anomaly struct {
	Kind       string // one of the constants below
	Subscriber string
	Event      uuid.UUID
}

// The kinds of anomalies.
const (
	Lost          = "lost"           // published, and never given to a subscriber it was for
	Unknown       = "unknown"        // delivered, and never published
	Duplicate     = "duplicate"      // handled with success twice
	Inverted      = "inverted"       // begun before an earlier event of its publisher and key
	Overlap       = "overlap"        // begun while another event of its key was being handled
	NotContiguous = "not contiguous" // another event of its key came between two attempts
)

func (a Anomaly) String() string { return fmt.Sprintf("%s: %s to %s", a.Kind, a.Event, a.Subscriber) }

// publication is one event's way into the bus.
type publication struct {
	env       *jitney.Envelope
	publisher string
	order     int
	ok        bool     // Publish has returned, and accepted it but for refused
	refused   []string // subscribers
}

type attempt struct {
	env        *jitney.Envelope
	subscriber string
	number     int
	again      int // redeliveries
	start, end int // end is 0 while it runs
	call       int // of the handler, which several have in common if it takes batches
	batch      bool
	ok         bool
}

type callKey struct{}

// call is one Publish through the history.
type call struct {
	publisher string
	made      []*publication
}

// Options returns what New needs to have the bus recorded.
func (h *History) Options() []jitney.Option {
	return []jitney.Option{jitney.WithPublishHook(h.hook), jitney.WithMiddleware(h.middleware)}
}

// Publish publishes events in publisher's name. One publisher publishes from one goroutine at a time.
// What is published otherwise is recorded without an outcome, and so is never missed.
func (h *History) Publish(ctx context.Context, b *jitney.Bus, publisher string, events ...jitney.Event) error {
	c := &call{publisher: publisher}
	err := b.Publish(context.WithValue(ctx, callKey{}, c), events...)
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(events) == 1 {
		for _, p := range c.made {
			p.outcome(err)
		}
		return err
	}
	for _, p := range c.made {
		p.ok = err == nil
	}
	return err
}

func (p *publication) outcome(err error) {
	refusal, partly := errors.AsType[*jitney.PublishError](err)
	p.ok = err == nil || partly
	if partly {
		p.refused = refusal.Subscribers()
	}
}

func (h *History) hook(ctx context.Context, env *jitney.Envelope) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tick++
	p := &publication{env: env, order: h.tick}
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		p.publisher = c.publisher
		c.made = append(c.made, p)
	}
	h.published = append(h.published, p)
	return nil
}

func (h *History) middleware(next jitney.Handler) jitney.Handler {
	return func(ctx context.Context, e jitney.Event) (err error) {
		_, batch := e.(jitney.Batch)
		all := h.begin(jitney.Deliveries(ctx), batch)
		returned := false
		defer func() {
			for i, a := range all {
				h.finish(a, returned && handled(err, i))
			}
		}()
		err = next(ctx, e)
		returned = true
		return err
	}
}

func (h *History) begin(list []*jitney.Delivery, batch bool) (all []*attempt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	call := h.tick + 1
	for _, d := range list {
		h.tick++
		all = append(all, &attempt{env: d.Envelope, subscriber: d.Subscriber, number: d.Attempt, again: d.Redeliveries, start: h.tick, call: call, batch: batch})
	}
	h.deliveries = append(h.deliveries, all...)
	return all
}

func (h *History) finish(a *attempt, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tick++
	a.end, a.ok = h.tick, ok
}

// Check returns the anomalies of what has been recorded, in O(n log n). due names the subscribers that an
// event is for; without it nothing is held to be lost. Call it when the bus is settled.
func (h *History) Check(due func(*jitney.Envelope) []string) []Anomaly {
	h.mu.Lock()
	defer h.mu.Unlock()
	byID := make(map[uuid.UUID]*publication, len(h.published))
	for _, p := range h.published {
		byID[p.env.ID] = p
	}
	return slices.Concat(h.lost(due), h.strange(byID), h.lanes(byID))
}

type place struct {
	subscriber string
	event      uuid.UUID
}

func (h *History) lost(due func(*jitney.Envelope) []string) (found []Anomaly) {
	if due == nil {
		return nil
	}
	given := make(map[place]bool)
	for _, a := range h.deliveries {
		given[place{a.subscriber, a.env.ID}] = true
	}
	for _, p := range h.published {
		if !p.ok {
			continue
		}
		for _, name := range due(p.env) {
			if !given[place{name, p.env.ID}] && !slices.Contains(p.refused, name) {
				found = append(found, Anomaly{Lost, name, p.env.ID})
			}
		}
	}
	return found
}

// strange finds deliveries of nothing, and second successes.
func (h *History) strange(byID map[uuid.UUID]*publication) (found []Anomaly) {
	succeeded := make(map[place]bool)
	for _, a := range h.deliveries {
		at := place{a.subscriber, a.env.ID}
		if byID[a.env.ID] == nil {
			found = append(found, Anomaly{Unknown, a.subscriber, a.env.ID})
		}
		if a.ok && succeeded[at] {
			found = append(found, Anomaly{Duplicate, a.subscriber, a.env.ID})
		}
		succeeded[at] = succeeded[at] || a.ok
	}
	return found
}

// lanes looks at what each subscriber got of each key, in the order in which it began.
func (h *History) lanes(byID map[uuid.UUID]*publication) (found []Anomaly) {
	type lane struct{ subscriber, key string }
	type source struct {
		lane
		publisher string
	}
	last := make(map[lane]*attempt)
	begun := make(map[place]bool)
	latest := make(map[source]int)
	sorted := slices.SortedFunc(slices.Values(h.deliveries), func(a, b *attempt) int { return cmp.Compare(a.start, b.start) })
	for _, a := range sorted {
		at := lane{a.subscriber, a.env.Key}
		report := func(kind string) { found = append(found, Anomaly{kind, a.subscriber, a.env.ID}) }
		before := last[at]
		last[at] = a
		if before != nil && (before.call == 0 || before.call != a.call) && (before.end == 0 || a.start < before.end) {
			report(Overlap)
		}
		if a.number > 1 && !a.batch && (before == nil || before.env.ID != a.env.ID || before.number != a.number-1) {
			report(NotContiguous)
		}
		p, again := byID[a.env.ID], begun[place{a.subscriber, a.env.ID}] && a.batch // its batch has failed, say
		begun[place{a.subscriber, a.env.ID}] = true
		if p == nil || p.publisher == "" || a.number > 1 || a.again > 0 || again {
			continue
		}
		from := source{at, p.publisher}
		if p.order < latest[from] {
			report(Inverted)
		}
		latest[from] = max(latest[from], p.order)
	}
	return found
}
