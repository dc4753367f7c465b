package jitney_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/jitney-go/jitney"
)

// A synchronous subscriber has a say in its publisher's fate.
func ExampleWithSync() {
	ctx := context.Background()
	b := jitney.New(noLog)

	jitney.Subscribe(b, "limits", func(_ context.Context, e OrderPlaced) error {
		if e.Cents > 1_000_000 {
			return errors.New("over the limit")
		}
		return nil
	}, jitney.WithSync())

	err := b.Publish(ctx, OrderPlaced{"1", 2_000_000})
	if refused, ok := errors.AsType[*jitney.PublishError](err); ok {
		fmt.Println(refused.Refusals[0].Subscriber, "says:", refused.Refusals[0].Err)
	}
	_ = b.Shutdown(ctx)
	// Output: limits says: over the limit
}
