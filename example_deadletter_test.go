package jitney_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/jitney-go/jitney"
)

func ExampleBus_Redeliver() {
	ctx := context.Background()
	b := jitney.New(noLog)
	letters := &jitney.MemoryDeadLetters{Limit: 1000}

	ruleRepaired := false
	jitney.Subscribe(b, "billing", func(_ context.Context, e OrderPlaced) error {
		if e.Cents < 0 && !ruleRepaired {
			return jitney.Permanent(errors.New("negative total"))
		}
		fmt.Println("booked order", e.OrderID)
		return nil
	}, jitney.WithDeadLetters(letters))

	_ = b.Publish(ctx, OrderPlaced{"1", -4200})
	_ = b.Flush(ctx)

	dead, _ := letters.List(ctx, jitney.DeadLetterFilter{Subscriber: "billing"})
	for _, l := range dead {
		fmt.Printf("%s died: %s (%s)\n", l.Envelope.Type, l.LastError(), l.Reason)
		ruleRepaired = true
		fmt.Println("redelivered, error:", b.Redeliver(ctx, l))
	}
	left, _ := letters.Count(ctx, jitney.DeadLetterFilter{})
	fmt.Println("letters left:", left)
	_ = b.Shutdown(ctx)
	// Output:
	// orders.placed died: negative total (permanent)
	// booked order 1
	// redelivered, error: <nil>
	// letters left: 0
}
