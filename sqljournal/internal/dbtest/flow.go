package dbtest

import (
	"context"
	"testing"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
)

// Flow finds all events of a correlation and no others, whatever its name means to JSON or to LIKE.
func flow(t *testing.T, d *Database) {
	j := open(t, d)
	var first uuid.UUID
	b := jitney.New(jitney.WithJournal(j), jitney.WithPublishHook(func(_ context.Context, env *jitney.Envelope) error {
		if env.Correlation == "" {
			first = env.ID
		}
		return nil
	}))
	jitney.Subscribe(b, "follows", func(ctx context.Context, c Counted) error {
		if c.N < 2 {
			return b.Publish(ctx, Counted{c.Key, c.N + 1})
		}
		return nil
	})
	names := []string{"order-7", "ORDER-7", "order_7", "order%7", "100%", "a!b", `q"\<é>`, "ü", `","key":"`}
	for _, name := range names {
		must(t, b.Publish(jitney.ContextWithCorrelation(t.Context(), name), Counted{name, 0}))
	}
	must(t, b.Publish(t.Context(), Counted{"own", 0}))
	must(t, b.Flush(t.Context()))
	for _, name := range names {
		envs, err := j.Flow(t.Context(), name, 100)
		must(t, err)
		for n, env := range envs {
			if got := env.Event.(Counted); got != (Counted{name, n}) {
				t.Errorf("%q: event %d is %v", name, n, got)
			}
		}
		if len(envs) != 3 {
			t.Errorf("%q has %d events", name, len(envs))
		}
	}
	all, err := j.Flow(t.Context(), "order-7", 2)
	must(t, err)
	if len(all) != 2 || all[1].Event.(Counted).N != 1 {
		t.Errorf("the first two are %v", all)
	}
	own, err := j.Flow(t.Context(), first.String(), 100)
	must(t, err)
	if len(own) != 3 || own[0].ID != first || own[2].Event.(Counted).N != 2 {
		t.Errorf("the flow that goes by its first event's ID has %v", own)
	}
	for _, name := range []string{"", "none", "%", "order", own[1].ID.String()} {
		if envs, err := j.Flow(t.Context(), name, 100); err != nil || len(envs) > 0 {
			t.Errorf("%q: %v, %v", name, envs, err)
		}
	}
	must(t, b.Shutdown(t.Context()))
}
