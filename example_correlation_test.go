package jitney_test

import (
	"context"
	"fmt"

	"github.com/jitney-go/jitney"
)

// All events of one flow carry one correlation id, and each names the event that caused it.
func ExampleFromContext() {
	b := jitney.New(noLog)

	jitney.Subscribe(b, "audit", func(ctx context.Context, _ jitney.Event) error {
		d := jitney.FromContext(ctx)
		fmt.Println(d.Type, "of flow", d.CorrelationID(), "hop", d.Hops)
		return nil
	})
	jitney.Subscribe(b, "billing", func(ctx context.Context, e OrderPlaced) error {
		return b.Publish(ctx, OrderPaid{e.OrderID})
	})

	ctx := jitney.ContextWithCorrelation(context.Background(), "request-7")
	_ = b.Publish(ctx, OrderPlaced{"1", 4200})
	_ = b.Shutdown(ctx)
	// Output:
	// orders.placed of flow request-7 hop 0
	// billing.paid of flow request-7 hop 1
}
