// Quickstart is the smallest program with all of the main parts: two modules, a retry, a dead letter.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jitney-go/jitney"
)

// Placed is what the orders module tells the others.
type Placed struct {
	OrderID string
	Cents   int64
}

func (Placed) EventType() string  { return "orders.placed" }
func (p Placed) EventKey() string { return p.OrderID }

func main() {
	ctx := context.Background()
	letters := &jitney.MemoryDeadLetters{}
	b := jitney.New()

	jitney.Subscribe(b, "billing", func(ctx context.Context, e Placed) error {
		if e.Cents <= 0 {
			return jitney.Permanent(errors.New("nothing to charge"))
		}
		if jitney.FromContext(ctx).Attempt == 1 {
			return errors.New("gateway busy") // tried again
		}
		fmt.Println("charged order", e.OrderID)
		return nil
	}, jitney.WithRetry(jitney.Retry{Base: time.Millisecond}), jitney.WithDeadLetters(letters))

	jitney.Subscribe(b, "shipping", func(_ context.Context, e Placed) error {
		fmt.Println("sent order", e.OrderID)
		return nil
	})

	err := b.Publish(ctx, Placed{"1", 4200}, Placed{"2", 0})
	err = errors.Join(err, b.Shutdown(ctx)) // handles what was accepted first
	dead, _ := letters.List(ctx, jitney.DeadLetterFilter{})
	for _, l := range dead {
		fmt.Println("dead:", l.Envelope, "to", l.Subscriber, "because:", l.LastError())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
