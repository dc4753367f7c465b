package jitney_test

import (
	"context"
	"runtime"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/jitney-go/jitney"
)

// batchHandler is the model's handler of batches. An event whose plan is a panic or Goexit takes the whole batch with it,
// until it stands alone; else each fares as its plan says, and some batches are left unfinished.
func (m *rigModel) batchHandler(s *rigSub) func(context.Context, []rigNumbered) error {
	one := m.handler(s)
	return func(ctx context.Context, list []rigNumbered) error {
		if len(list) == 1 {
			m.together(s, jitney.Deliveries(ctx))
			return one(ctx, list[0])
		}
		deliveries := jitney.Deliveries(ctx)
		m.together(s, deliveries)
		ids := make([]rigID, len(list))
		plans := make([]int, len(list))
		whole := rigOK
		for i, e := range list {
			d := deliveries[i]
			ids[i] = rigID{s.name, e.number(), d.Redeliveries}
			plans[i] = m.plan(ids[i], d.Attempt)
			m.begin(s, ids[i], d)
			if plans[i] == rigPanic || plans[i] == rigGoexit {
				whole = plans[i]
			}
		}
		cut := rigPause(ctx, time.Duration(len(list)%4)*5*time.Millisecond)
		tried := len(list)
		if ids[0].n%3 == 0 {
			tried = 1 + ids[0].n%len(list)
		}
		var errs []error
		for i := range list {
			if cut != nil || whole != rigOK || i >= tried {
				m.end(s, ids[i], deliveries[i], errRig) // no attempt
				continue
			}
			if plans[i] == rigOK && ids[i].n%5 == 0 && deliveries[i].Hops < 2 && deliveries[i].Attempt == 1 {
				_ = m.publish(jitney.ContextWithDelivery(context.WithoutCancel(ctx), i), 1) // as in handler
			}
			m.end(s, ids[i], deliveries[i], nil)
			errs = append(errs, rigDo(plans[i], false))
		}
		switch {
		case cut != nil:
			return cut
		case whole == rigGoexit:
			runtime.Goexit()
		case whole == rigPanic:
			panic(errRig)
		}
		return &jitney.BatchError{Errs: errs}
	}
}

// together checks that a batch is no larger than it may be, and that no other has events of its lanes.
func (m *rigModel) together(s *rigSub, list []*jitney.Delivery) {
	m.mu.Lock()
	defer m.mu.Unlock()
	assert.LessOrEqual(m, len(list), s.batch, "seed %d", m.seed)
	for _, d := range list {
		assert.False(m, s.running[s.lane(d.Key)], "seed %d: %s overlaps in a lane", m.seed, s.name)
	}
	for _, d := range list {
		s.running[s.lane(d.Key)] = true
	}
}
