package jitney_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/jitney-go/jitney"
)

func ExampleWithMiddleware() {
	ctx := context.Background()
	trace := func(next jitney.Handler) jitney.Handler {
		return func(ctx context.Context, e jitney.Event) error {
			d := jitney.FromContext(ctx)
			err := next(ctx, e)
			fmt.Println(d.Subscriber, "handled", d.Type, "error:", err)
			return err
		}
	}
	b := jitney.New(noLog, jitney.WithMiddleware(trace)) // around every handler of the bus

	jitney.Subscribe(b, "billing", func(context.Context, OrderPlaced) error { return nil })

	_ = b.Publish(ctx, OrderPlaced{"1", 4200})
	_ = b.Shutdown(ctx)
	// Output: billing handled orders.placed error: <nil>
}

// A publish hook sees each envelope before anybody gets it: it may add headers, or refuse.
func ExampleWithPublishHook() {
	ctx := context.Background()
	b := jitney.New(noLog, jitney.WithPublishHook(func(_ context.Context, env *jitney.Envelope) error {
		if p, ok := env.Event.(OrderPlaced); ok && p.Cents < 0 {
			return errors.New("negative total")
		}
		if env.Headers == nil {
			env.Headers = make(map[string]string)
		}
		env.Headers["tenant"] = "acme"
		return nil
	}))
	jitney.Subscribe(b, "billing", func(ctx context.Context, _ OrderPlaced) error {
		fmt.Println("tenant", jitney.FromContext(ctx).Headers["tenant"])
		return nil
	})

	_ = b.Publish(ctx, OrderPlaced{"1", 4200})
	fmt.Println(b.Publish(ctx, OrderPlaced{"2", -1}))
	_ = b.Shutdown(ctx)
	// Unordered output:
	// tenant acme
	// jitney: publish jitney_test.OrderPlaced: refused by a publish hook: negative total
}
