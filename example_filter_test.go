package jitney_test

import (
	"context"
	"fmt"

	"github.com/jitney-go/jitney"
)

// What a subscriber does not want never gets into its queue.
func ExampleWithFilter() {
	ctx := context.Background()
	b := jitney.New(noLog)

	s := jitney.Subscribe(b, "fraud", func(_ context.Context, e OrderPlaced) error {
		fmt.Println("looking at order", e.OrderID)
		return nil
	}, jitney.WithFilter(func(e OrderPlaced) bool { return e.Cents >= 100_000 }))

	_ = b.Publish(ctx, OrderPlaced{"1", 4200}, OrderPlaced{"2", 250_000}, OrderPlaced{"3", 999})
	_ = b.Shutdown(ctx)
	fmt.Println(s.Stats().Accepted, "accepted,", s.Stats().Filtered, "filtered out")
	// Output:
	// looking at order 2
	// 1 accepted, 2 filtered out
}
