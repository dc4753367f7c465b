// Package loyalty gives customers a point for each whole pound.
package loyalty

import (
	"context"
	"errors"
	"sync"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/examples/orderflow/money"
	"github.com/jitney-go/jitney/examples/orderflow/payments"
)

// Module is the loyalty module.
type Module struct {
	mu     sync.Mutex
	points map[string]int64
}

// New returns a module without any points.
func New() *Module { return &Module{points: make(map[string]int64)} }

var errNoCustomer = errors.New("order without a customer")

// Reward handles a payment. Without a customer there is nobody to reward.
func (m *Module) Reward(_ context.Context, e payments.Charged) error {
	if e.Customer == "" {
		return jitney.Skip(errNoCustomer)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.points[e.Customer] += int64(e.Amount / money.Pound)
	return nil
}

// Members returns how many customers have points or could have.
func (m *Module) Members() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.points)
}
