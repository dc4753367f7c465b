package jitney_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jitney-go/jitney"
)

// While order 1 waits for its second attempt, order 2 goes ahead; what order 1 does next stays behind it.
func ExampleWithWorkers() {
	ctx := context.Background()
	b := jitney.New(noLog)

	jitney.Subscribe(b, "billing", func(ctx context.Context, e OrderPlaced) error {
		if e.OrderID == "1" && e.Cents == 100 && jitney.FromContext(ctx).Attempt == 1 {
			return jitney.RetryAfter(50*time.Millisecond, errors.New("busy"))
		}
		fmt.Println("order", e.OrderID, "cents", e.Cents)
		return nil
	}, jitney.WithWorkers(1), jitney.WithRetry(jitney.Retry{}))

	_ = b.Publish(ctx, OrderPlaced{"1", 100}, OrderPlaced{"1", 200}, OrderPlaced{"2", 300})
	_ = b.Shutdown(ctx)
	// Output:
	// order 2 cents 300
	// order 1 cents 100
	// order 1 cents 200
}
