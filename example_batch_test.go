package jitney_test

import (
	"context"
	"fmt"
	"time"

	"github.com/jitney-go/jitney"
)

// A projection writes many rows at once. The row that cannot be written is named, and is tried again by itself.
func ExampleSubscribeBatch() {
	ctx := context.Background()
	b := jitney.New(noLog)

	jitney.SubscribeBatch(b, "projection", func(ctx context.Context, batch []OrderPlaced) error {
		errs := make([]error, len(batch))
		for i, d := range jitney.Deliveries(ctx) {
			if batch[i].Cents < 0 && d.Attempt == 1 {
				errs[i] = fmt.Errorf("order %s: negative", batch[i].OrderID)
			}
		}
		fmt.Println(len(batch), "orders, from", batch[0].OrderID, "on")
		return &jitney.BatchError{Errs: errs}
	}, jitney.WithBatch(3, time.Minute), jitney.WithRetry(jitney.Retry{Base: time.Millisecond}))

	_ = b.Publish(ctx, OrderPlaced{"1", 100}, OrderPlaced{"2", -1}, OrderPlaced{"3", 300})
	_ = b.Shutdown(ctx)
	// Output:
	// 3 orders, from 1 on
	// 1 orders, from 2 on
}
