package jitney_test

import (
	"context"
	"fmt"

	"github.com/jitney-go/jitney"
)

// OrderEvent is a family: an interface that a module's events implement.
type OrderEvent interface {
	jitney.Event
	Order() string
}

// Order makes OrderPlaced one of the family.
func (p OrderPlaced) Order() string { return p.OrderID }

// Order makes OrderPaid one of the family.
func (p OrderPaid) Order() string { return p.OrderID }

func ExampleSubscribe_family() {
	ctx := context.Background()
	b := jitney.New(noLog)

	jitney.Subscribe(b, "mirror", func(_ context.Context, e OrderEvent) error {
		switch e.(type) {
		case OrderPlaced:
			fmt.Println("order", e.Order(), "is open")
		case OrderPaid:
			fmt.Println("order", e.Order(), "is done")
		}
		return nil
	})

	_ = b.Publish(ctx, OrderPlaced{"1", 4200}, OrderPaid{"1"})
	_ = b.Shutdown(ctx)
	// Output:
	// order 1 is open
	// order 1 is done
}
