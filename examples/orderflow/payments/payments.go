// Package payments charges orders and refunds cancellations, through a gateway that fails at times.
package payments

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/examples/orderflow/money"
	"github.com/jitney-go/jitney/examples/orderflow/orders"
	"github.com/jitney-go/jitney/examples/orderflow/tally"
)

// Payment is what Charged, Refunded and WrittenOff have in common.
type Payment struct {
	Invoice  string
	Customer string
	Amount   money.Amount // never negative
}

// EventKey keeps what concerns one invoice in order.
func (p Payment) EventKey() string { return p.Invoice }

// Charged says that an order was paid for.
type Charged struct{ Payment }

// EventType implements jitney.Event.
func (Charged) EventType() string { return "payments.charged" }

// Refunded says that a cancellation's money was paid back.
type Refunded struct{ Payment }

// EventType implements jitney.Event.
func (Refunded) EventType() string { return "payments.refunded" }

// WrittenOff says that a negative order was booked as a loss.
type WrittenOff struct{ Payment }

// EventType implements jitney.Event.
func (WrittenOff) EventType() string { return "payments.written_off" }

// ErrNegative is the rule that makes dead letters: nobody can be charged less than nothing.
var ErrNegative = errors.New("total is negative")

// Gateway moves money. It may fail for a while.
type Gateway interface {
	Move(ctx context.Context, invoice string, amount money.Amount) error
}

// Books is what has been moved in all.
type Books struct{ Charged, Refunded, WrittenOff money.Amount }

// Module is the payments module.
type Module struct {
	out      orders.Publisher
	gateway  Gateway
	books    tally.Sums
	repaired atomic.Bool
}

// What the sums of the books are called.
const (
	charged    = "charged"
	refunded   = "refunded"
	writtenOff = "written off"
)

// New returns the module; it publishes to out.
func New(out orders.Publisher, g Gateway, books tally.Sums) *Module {
	return &Module{out: out, gateway: g, books: books}
}

// Settle handles orders and cancellations.
func (m *Module) Settle(ctx context.Context, e orders.Event) error {
	switch e := e.(type) {
	case orders.Placed:
		return m.charge(ctx, e)
	case orders.Cancelled:
		return m.refund(ctx, e)
	}
	return nil
}

func (m *Module) charge(ctx context.Context, e orders.Placed) error {
	p := Payment{e.Invoice, e.Customer, e.Total}
	if e.Total < 0 {
		if !m.repaired.Load() {
			return jitney.Permanent(fmt.Errorf("%w: %s", ErrNegative, e.Total.Pounds()))
		}
		p.Amount = -e.Total
		return m.book(ctx, WrittenOff{p}, writtenOff, p.Amount)
	}
	if err := m.gateway.Move(ctx, e.Invoice, e.Total); err != nil {
		return err
	}
	return m.book(ctx, Charged{p}, charged, p.Amount)
}

func (m *Module) refund(ctx context.Context, e orders.Cancelled) error {
	p := Payment{e.Invoice, e.Customer, -e.Total}
	if err := m.gateway.Move(ctx, e.Invoice, e.Total); err != nil {
		return err
	}
	return m.book(ctx, Refunded{p}, refunded, p.Amount)
}

// book tells the others, and then adds to the books: a failure in between is tried again as a whole.
func (m *Module) book(ctx context.Context, e jitney.Event, account string, amount money.Amount) error {
	if err := m.out.Publish(ctx, e); err != nil {
		return err
	}
	_, err := m.books.Add(ctx, account, int64(amount))
	if errors.Is(err, tally.ErrRange) {
		return jitney.Permanent(err)
	}
	return err
}

// Repair changes the rule: a negative order is booked as a loss.
func (m *Module) Repair() { m.repaired.Store(true) }

// Books returns what has been moved so far.
func (m *Module) Books(ctx context.Context) (Books, error) {
	sums, err := m.books.All(ctx)
	return Books{money.Amount(sums[charged]), money.Amount(sums[refunded]), money.Amount(sums[writtenOff])}, err
}
