package jitney_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/jitney-go/jitney"
)

// OrderPlaced is the event of the examples.
type OrderPlaced struct {
	OrderID string
	Cents   int64
}

func (OrderPlaced) EventType() string  { return "orders.placed" }
func (p OrderPlaced) EventKey() string { return p.OrderID }

// OrderPaid is what billing has to tell.
type OrderPaid struct{ OrderID string }

func (OrderPaid) EventType() string  { return "billing.paid" }
func (p OrderPaid) EventKey() string { return p.OrderID }

// noLog keeps the examples' output to themselves.
var noLog = jitney.WithLogger(slog.New(slog.DiscardHandler))

func Example() {
	ctx := context.Background()
	b := jitney.New()

	jitney.Subscribe(b, "billing", func(ctx context.Context, e OrderPlaced) error {
		fmt.Printf("charging %d for order %s\n", e.Cents, e.OrderID)
		return b.Publish(ctx, OrderPaid{e.OrderID})
	})
	jitney.Subscribe(b, "shipping", func(_ context.Context, e OrderPaid) error {
		fmt.Printf("sending order %s\n", e.OrderID)
		return nil
	})

	if err := b.Publish(ctx, OrderPlaced{"1", 4200}); err != nil {
		fmt.Println(err)
	}
	if err := b.Shutdown(ctx); err != nil { // all that was accepted is handled first
		fmt.Println(err)
	}
	// Output:
	// charging 4200 for order 1
	// sending order 1
}
