package jitney_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/jitney-go/jitney"
)

// What a full queue refuses can be forwarded later, to those alone who do not have it.
func ExampleBus_Forward() {
	ctx := context.Background()
	b := jitney.New(noLog)

	begun, open := make(chan struct{}, 3), make(chan struct{})
	s := jitney.Subscribe(b, "slow", func(context.Context, OrderPlaced) error {
		begun <- struct{}{}
		<-open
		return nil
	}, jitney.WithBuffer(1), jitney.WithOverflow(jitney.Reject))

	_ = b.Publish(ctx, OrderPlaced{"1", 100})
	<-begun                                   // it is in the handler
	_ = b.Publish(ctx, OrderPlaced{"2", 200}) // it is in the queue
	err := b.Publish(ctx, OrderPlaced{"3", 300})

	refused, ok := errors.AsType[*jitney.PublishError](err)
	fmt.Println(ok, refused.Subscribers(), errors.Is(err, jitney.ErrQueueFull))

	close(open)
	_ = b.Flush(ctx)
	fmt.Println(b.Forward(ctx, refused.Envelope, refused.Subscribers()...))
	_ = b.Shutdown(ctx)
	fmt.Println("handled", s.Stats().Handled)
	// Output:
	// true [slow] true
	// <nil>
	// handled 3
}
