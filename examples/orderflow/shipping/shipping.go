// Package shipping sends what has been paid for.
package shipping

import (
	"context"
	"sync/atomic"

	"github.com/jitney-go/jitney/examples/orderflow/orders"
	"github.com/jitney-go/jitney/examples/orderflow/payments"
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
	out     orders.Publisher
	parcels atomic.Int64
}

// New returns the module; it publishes to out.
func New(out orders.Publisher) *Module { return &Module{out: out} }

// Ship handles a payment.
func (m *Module) Ship(ctx context.Context, e payments.Charged) error {
	if err := m.out.Publish(ctx, Shipped{e.Invoice, e.Customer}); err != nil {
		return err
	}
	m.parcels.Add(1)
	return nil
}

// Parcels returns how many have been sent.
func (m *Module) Parcels() int64 { return m.parcels.Load() }
