package jitney_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jitney-go/jitney"
)

// An outage makes events wait. None of them dies, although each has two attempts alone.
func ExampleWithBreaker() {
	ctx := context.Background()
	b := jitney.New(noLog)
	var gatewayUp atomic.Bool
	opened := make(chan struct{}, 1)
	s := jitney.Subscribe(b, "payments", func(context.Context, Payment) error {
		if !gatewayUp.Load() {
			return errors.New("gateway down")
		}
		return nil
	},
		jitney.WithRetry(jitney.Retry{Attempts: 2, Base: time.Millisecond}),
		jitney.WithBreaker(jitney.Breaker{
			Failures: 2,
			Pause:    10 * time.Millisecond,
			OnChange: func(c jitney.BreakerChange) {
				if c.From == jitney.BreakerClosed {
					fmt.Println(c.Subscriber, "is", c.To, "because:", c.Err)
					opened <- struct{}{}
				}
			},
		}))
	for n := range 100 {
		_ = b.Publish(ctx, Payment{"ann", n})
	}
	<-opened
	gatewayUp.Store(true) // the next try finds out
	_ = b.Shutdown(ctx)
	fmt.Println("handled", s.Stats().Handled, "dead", s.Stats().Dead)
	// Output:
	// payments is open because: gateway down
	// handled 100 dead 0
}

func ExampleSubscription_Pause() {
	ctx := context.Background()
	b := jitney.New(noLog)
	s := jitney.Subscribe(b, "mails", func(_ context.Context, p Payment) error {
		fmt.Println("mail to", p.Account)
		return nil
	})
	s.Pause() // the mail server is about to be replaced
	_ = b.Publish(ctx, Payment{"ann", 1})
	fmt.Println("waiting:", s.Stats().Queued)
	s.Resume()
	_ = b.Shutdown(ctx)
	// Output:
	// waiting: 1
	// mail to ann
}
