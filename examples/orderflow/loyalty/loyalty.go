// Package loyalty gives customers a point for each whole pound.
package loyalty

import (
	"context"
	"errors"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/examples/orderflow/money"
	"github.com/jitney-go/jitney/examples/orderflow/payments"
	"github.com/jitney-go/jitney/examples/orderflow/tally"
)

// Module is the loyalty module.
type Module struct{ points tally.Sums } // by customer

// New returns the module.
func New(points tally.Sums) *Module { return &Module{points} }

var errNoCustomer = errors.New("order without a customer")

// Reward handles a payment. Without a customer there is nobody to reward.
func (m *Module) Reward(ctx context.Context, e payments.Charged) error {
	if e.Customer == "" {
		return jitney.Skip(errNoCustomer)
	}
	_, err := m.points.Add(ctx, e.Customer, int64(e.Amount/money.Pound))
	return err
}

// Members returns how many customers have points or could have.
func (m *Module) Members(ctx context.Context) (int, error) {
	sums, err := m.points.All(ctx)
	return len(sums), err
}
