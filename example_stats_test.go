package jitney_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/jitney-go/jitney"
)

func ExampleSubscription_Stats() {
	ctx := context.Background()
	b := jitney.New(noLog)
	jitney.Subscribe(b, "billing", func(_ context.Context, e OrderPlaced) error {
		if e.Cents == 0 {
			return errors.New("nothing to charge")
		}
		return nil
	})
	_ = b.Publish(ctx, OrderPlaced{"1", 4200}, OrderPlaced{"2", 0})
	_ = b.Flush(ctx)

	for _, s := range b.Subscriptions() {
		st := s.Stats()
		fmt.Println(s.Name(), "accepted", st.Accepted, "handled", st.Handled, "dead", st.Dead, "unaccounted", st.Unaccounted())
	}
	_ = b.Shutdown(ctx)
	// Output: billing accepted 2 handled 1 dead 1 unaccounted 0
}
