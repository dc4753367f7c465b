// Package orders turns what comes in from outside into orders and cancellations, each once.
package orders

import (
	"cmp"
	"context"
	"time"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/examples/orderflow/intake"
	"github.com/jitney-go/jitney/examples/orderflow/money"
)

// Event is the family of what this module tells the others. Who subscribes to it sees an order and its
// cancellation in one order.
type Event interface {
	jitney.Event
	InvoiceNo() string
	From() string // country
}

// Order is what Placed and Cancelled have in common.
type Order struct {
	Invoice  string
	Date     time.Time
	Customer string // "" if unknown
	Country  string
	Lines    []intake.Line
	Total    money.Amount // negative on a cancellation
}

// InvoiceNo returns the invoice's number.
func (o Order) InvoiceNo() string { return o.Invoice }

// From returns the country it came from.
func (o Order) From() string { return o.Country }

// EventKey keeps what concerns one customer in order. What comes from nobody known stands for itself.
func (o Order) EventKey() string { return cmp.Or(o.Customer, o.Invoice) }

// Placed says that an order was placed.
type Placed struct{ Order }

// EventType implements jitney.Event.
func (Placed) EventType() string { return "orders.placed" }

// Cancelled says that goods of an earlier order came back.
type Cancelled struct{ Order }

// EventType implements jitney.Event.
func (Cancelled) EventType() string { return "orders.cancelled" }

// Publisher is the part of a bus that a module needs to tell its facts.
type Publisher interface {
	Publish(ctx context.Context, events ...jitney.Event) error
}

// Module is the orders module.
type Module struct{ out Publisher }

// New returns the module; it publishes to out.
func New(out Publisher) *Module { return &Module{out} }

// Take handles an invoice from outside.
func (m *Module) Take(ctx context.Context, r intake.Received) error {
	o := Order{r.Invoice, r.Date, r.Customer, r.Country, r.Lines, r.Total}
	if r.Cancelled {
		return m.out.Publish(ctx, Cancelled{o})
	}
	return m.out.Publish(ctx, Placed{o})
}
