// Package notification writes to customers.
package notification

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/examples/orderflow/shipping"
)

// Module is the notification module. It counts instead of sending.
type Module struct{ mails atomic.Int64 }

var errNoCustomer = errors.New("nobody to write to")

// Notify handles a parcel on its way.
func (m *Module) Notify(_ context.Context, e shipping.Shipped) error {
	if e.Customer == "" {
		return jitney.Skip(errNoCustomer)
	}
	m.mails.Add(1)
	return nil
}

// Mails returns how many have been sent.
func (m *Module) Mails() int64 { return m.mails.Load() }
