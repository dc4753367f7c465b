package why

import (
	"github.com/google/uuid"
)

// tree is a flow, seen from its beginnings.
type tree struct {
	flow     *Flow
	children map[parent][]int // of Flow.Events
	shown    []bool
}

// parent is what events hang from: an event, or its delivery to a subscriber.
type parent struct {
	event      uuid.UUID
	subscriber string
}

func newTree(f *Flow) *tree {
	t := &tree{flow: f, children: make(map[parent][]int), shown: make([]bool, len(f.Events))}
	for i := range f.Events {
		p := t.parent(&f.Events[i])
		t.children[p] = append(t.children[p], i)
	}
	return t
}

// parent returns what e hangs from; nothing if its cause is not in the flow.
func (t *tree) parent(e *Event) (p parent) {
	at, known := t.flow.find(e.Cause)
	if !known || e.Cause == uuid.Nil {
		return parent{}
	}
	for _, d := range t.flow.Events[at].Deliveries {
		if d.Subscriber == e.Publisher {
			return parent{e.Cause, e.Publisher}
		}
	}
	return parent{event: e.Cause}
}

// roots calls f for each event that begins something; last of all for those that are each other's causes, should
// somebody have made such envelopes. f shows the events that hang from it.
func (t *tree) roots(f func(i int)) {
	for _, i := range t.children[parent{}] {
		f(i)
	}
	for i := range t.shown {
		if !t.shown[i] {
			f(i)
		}
	}
}

// take marks an event as shown, and reports whether it had not been.
func (t *tree) take(i int) bool {
	before := t.shown[i]
	t.shown[i] = true
	return !before
}
