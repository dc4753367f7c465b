package jitney_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jitney-go/jitney"
)

func ExampleWithRetry() {
	ctx := context.Background()
	b := jitney.New(noLog)

	jitney.Subscribe(b, "billing", func(ctx context.Context, e OrderPlaced) error {
		attempt := jitney.FromContext(ctx).Attempt
		if attempt < 3 {
			fmt.Printf("attempt %d: gateway down\n", attempt)
			return errors.New("gateway down")
		}
		fmt.Printf("attempt %d: charged\n", attempt)
		return nil
	}, jitney.WithRetry(jitney.Retry{Attempts: 5, Base: time.Millisecond, Max: time.Second}))

	_ = b.Publish(ctx, OrderPlaced{"1", 4200})
	_ = b.Shutdown(ctx)
	// Output:
	// attempt 1: gateway down
	// attempt 2: gateway down
	// attempt 3: charged
}

// A handler steers by what it returns.
func ExamplePermanent() {
	ctx := context.Background()
	b := jitney.New(noLog)

	s := jitney.Subscribe(b, "billing", func(_ context.Context, e OrderPlaced) error {
		switch {
		case e.Cents == 0:
			return jitney.Skip(errors.New("nothing to charge"))
		case e.Cents < 0:
			return jitney.Permanent(errors.New("negative total"))
		}
		return nil
	}, jitney.WithRetry(jitney.Retry{Attempts: 5}))

	_ = b.Publish(ctx, OrderPlaced{"1", 4200}, OrderPlaced{"2", 0}, OrderPlaced{"3", -1})
	_ = b.Shutdown(ctx)
	st := s.Stats()
	fmt.Println("handled", st.Handled, "skipped", st.Skipped, "dead", st.Dead, "retried", st.Retried)
	// Output: handled 1 skipped 1 dead 1 retried 0
}

func ExampleRetry_Next() {
	policy := jitney.Retry{Attempts: 5, Base: time.Second, Max: 5 * time.Second, Jitter: jitney.NoJitter}
	for attempt := 1; ; attempt++ {
		wait, again := policy.Next(attempt, 0, 0)
		if !again {
			fmt.Println("no more after attempt", attempt)
			return
		}
		fmt.Println("after attempt", attempt, "wait", wait)
	}
	// Output:
	// after attempt 1 wait 1s
	// after attempt 2 wait 2s
	// after attempt 3 wait 4s
	// after attempt 4 wait 5s
	// no more after attempt 5
}
