package jitney_test

import (
	"context"
	"fmt"

	"github.com/jitney-go/jitney"
)

// A source that delivers at least once sends the same order twice, as two events.
func ExampleWithIdempotencyKey() {
	ctx := context.Background()
	b := jitney.New(noLog)

	s := jitney.Subscribe(b, "billing", func(_ context.Context, e OrderPlaced) error {
		fmt.Println("charged order", e.OrderID)
		return nil
	},
		jitney.WithIdempotency(&jitney.MemoryInbox{}),
		jitney.WithIdempotencyKey(func(e jitney.Event) string { return e.(OrderPlaced).OrderID }))

	_ = b.Publish(ctx, OrderPlaced{"1", 4200})
	_ = b.Publish(ctx, OrderPlaced{"1", 4200})
	_ = b.Shutdown(ctx)
	fmt.Println("duplicates:", s.Stats().Duplicates)
	// Output:
	// charged order 1
	// duplicates: 1
}
