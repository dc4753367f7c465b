// Package shipping sends what has been paid for.
package shipping

import (
	"context"

	"github.com/jitney-go/jitney/examples/orderflow/orders"
	"github.com/jitney-go/jitney/examples/orderflow/payments"
	"github.com/jitney-go/jitney/examples/orderflow/tally"
)

// Shipped says that an order is on its way.
type Shipped struct {
	Invoice  string
	Customer string
}

// EventType implements jitney.Event.
func (Shipped) EventType() string { return "shipping.shipped" }

// EventKey keeps what concerns one invoice in order.
func (s Shipped) EventKey() string { return s.Invoice }

// Module is the shipping module.
type Module struct {
	out  orders.Publisher
	sent tally.Sums
}

const parcels = "parcels"

// New returns the module; it publishes to out.
func New(out orders.Publisher, sent tally.Sums) *Module { return &Module{out, sent} }

// Ship handles a payment.
func (m *Module) Ship(ctx context.Context, e payments.Charged) error {
	if err := m.out.Publish(ctx, Shipped{e.Invoice, e.Customer}); err != nil {
		return err
	}
	_, err := m.sent.Add(ctx, parcels, 1)
	return err
}

// Parcels returns how many have been sent.
func (m *Module) Parcels(ctx context.Context) (int64, error) {
	sums, err := m.sent.All(ctx)
	return sums[parcels], err
}
