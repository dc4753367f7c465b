// Package notification writes to customers.
package notification

import (
	"context"
	"errors"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/examples/orderflow/shipping"
	"github.com/jitney-go/jitney/examples/orderflow/tally"
)

// Module is the notification module. It counts instead of sending.
type Module struct{ sent tally.Sums }

const mails = "mails"

// New returns the module.
func New(sent tally.Sums) *Module { return &Module{sent} }

var errNoCustomer = errors.New("nobody to write to")

// Notify handles a parcel on its way.
func (m *Module) Notify(ctx context.Context, e shipping.Shipped) error {
	if e.Customer == "" {
		return jitney.Skip(errNoCustomer)
	}
	_, err := m.sent.Add(ctx, mails, 1)
	return err
}

// Mails returns how many have been sent.
func (m *Module) Mails(ctx context.Context) (int64, error) {
	sums, err := m.sent.All(ctx)
	return sums[mails], err
}
