package jitneytest_test

import (
	"context"
	"testing"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/jitneytest"
)

type Placed struct{ Order string }

func (Placed) EventType() string { return "orders.placed" }

type Charged struct{ Order string }

func (Charged) EventType() string { return "payments.charged" }

func charge(b *jitney.Bus) func(context.Context, Placed) error {
	return func(ctx context.Context, e Placed) error { return b.Publish(ctx, Charged(e)) }
}

// A module is tested by what it publishes.
func Example() {
	_ = func(t *testing.T) {
		b := jitneytest.New(t, jitneytest.Immutable(t))
		charged := jitneytest.Record[Charged](t, b)
		jitney.Subscribe(b, "payments", charge(b))

		if err := b.Publish(t.Context(), Placed{Order: "536365"}); err != nil {
			t.Fatal(err)
		}
		if got := charged.Flush(); len(got) != 1 {
			t.Errorf("charged %v", got)
		}
	}
}
