package jitney_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jitney-go/jitney"
)

// A deadline that comes too early leaves a list, not a hole.
func ExampleBus_Shutdown() {
	b := jitney.New(noLog)
	jitney.Subscribe(b, "reports", func(ctx context.Context, _ OrderPlaced) error {
		<-ctx.Done() // it would take long, and minds its context
		return ctx.Err()
	})
	_ = b.Publish(context.Background(), OrderPlaced{"1", 100}, OrderPlaced{"2", 200})

	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	err := b.Shutdown(ctx)
	if left, ok := errors.AsType[*jitney.UnhandledError](err); ok {
		for _, u := range left.Unhandled {
			fmt.Println("not handled:", u.Envelope.Event, "by", u.Subscriber)
		}
	}
	fmt.Println(b.Publish(context.Background(), OrderPlaced{"3", 300}))
	// Output:
	// not handled: {1 100} by reports
	// not handled: {2 200} by reports
	// jitney: publish: closed
}
