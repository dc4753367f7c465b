package jitneytest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
)

func TestHistoryFindsEachAnomaly(t *testing.T) {
	env := func(n byte) *jitney.Envelope { return &jitney.Envelope{ID: uuid.UUID{n}, Key: "k"} }
	one, two := env(1), env(2)
	run := func(e *jitney.Envelope, number, start, end int, ok bool) *attempt {
		return &attempt{env: e, subscriber: "s", number: number, start: start, end: end, ok: ok}
	}
	for kind, deliveries := range map[string][]*attempt{
		"":            {run(one, 1, 3, 4, false), run(one, 2, 5, 6, true), run(two, 1, 7, 8, true)},
		Lost:          {run(one, 1, 3, 4, true)},
		Unknown:       {run(one, 1, 3, 4, true), run(two, 1, 5, 6, true), run(env(3), 1, 7, 8, true)},
		Duplicate:     {run(one, 1, 3, 4, true), run(one, 1, 5, 6, true), run(two, 1, 7, 8, true)},
		Inverted:      {run(two, 1, 3, 4, true), run(one, 1, 5, 6, true)},
		Overlap:       {run(one, 1, 3, 6, true), run(two, 1, 5, 8, true)},
		NotContiguous: {run(one, 1, 3, 4, false), run(two, 1, 5, 6, true), run(one, 2, 7, 8, true)},
	} {
		t.Run(kind, func(t *testing.T) {
			h := History{deliveries: deliveries, published: []*publication{
				{env: one, publisher: "p", order: 1, ok: true}, {env: two, publisher: "p", order: 2, ok: true},
			}}
			found := h.Check(func(*jitney.Envelope) []string { return []string{"s"} })
			if kind == "" {
				require.Empty(t, found)
				return
			}
			require.Len(t, found, 1)
			assert.Equal(t, kind, found[0].Kind)
		})
	}
}

func TestHistoryOfABusThatRetriesHasNoAnomaly(t *testing.T) {
	var h History
	b := New(t, append(h.Options(), jitney.WithRetry(jitney.Retry{Attempts: 3, Base: 1}))...)
	jitney.Subscribe(b, "s", func(ctx context.Context, e happened) error {
		if jitney.FromContext(ctx).Attempt == 1 && e.N%3 == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	for n := range 30 {
		require.NoError(t, h.Publish(t.Context(), b, "p", happened{n}))
	}
	flush(t, b)
	assert.Empty(t, h.Check(func(*jitney.Envelope) []string { return []string{"s"} }))
	assert.Len(t, h.deliveries, 40)
}

func TestHelpersKnowBatches(t *testing.T) {
	var h History
	b := New(t, append(h.Options(), Immutable(t))...)
	jitney.SubscribeBatch(b, "s", func(ctx context.Context, list []happened) error {
		errs := make([]error, len(list))
		for i, d := range jitney.Deliveries(ctx) {
			if list[i].N%3 == 0 && d.Attempt == 1 {
				errs[i] = errors.New("not yet")
			}
		}
		return &jitney.BatchError{Errs: errs}
	}, jitney.WithRetry(jitney.Retry{Attempts: 3, Base: 1}), jitney.WithBatch(10, time.Hour))
	handled := Handled[happened](t, b, "s")
	for n := range 30 {
		require.NoError(t, h.Publish(t.Context(), b, "p", happened{n}))
	}
	assert.Len(t, handled.Flush(), 30)
	assert.Empty(t, h.Check(func(*jitney.Envelope) []string { return []string{"s"} }))
	assert.Len(t, h.deliveries, 40)
}
