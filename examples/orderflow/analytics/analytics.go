// Package analytics keeps the shop's figures.
package analytics

import (
	"context"
	"maps"
	"sync"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/examples/orderflow/money"
	"github.com/jitney-go/jitney/examples/orderflow/orders"
)

// Figures are what a shop owner asks for first.
type Figures struct {
	Orders, Cancellations, Lines int
	Gross, Refunds               money.Amount
	Countries                    map[string]money.Amount // net
}

// Module is the analytics module.
type Module struct {
	mu sync.Mutex
	f  Figures
}

// New returns a module without any figures.
func New() *Module { return &Module{f: Figures{Countries: make(map[string]money.Amount)}} }

// Count handles orders and cancellations.
func (m *Module) Count(_ context.Context, e orders.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := m.f
	var o orders.Order
	var err error
	switch e := e.(type) {
	case orders.Placed:
		o = e.Order
		next.Orders++
		next.Gross, err = next.Gross.Add(o.Total)
	case orders.Cancelled:
		o = e.Order
		next.Cancellations++
		next.Refunds, err = next.Refunds.Add(-o.Total)
	}
	if err != nil {
		return jitney.Permanent(err)
	}
	net, err := next.Countries[o.Country].Add(o.Total)
	if err != nil {
		return jitney.Permanent(err)
	}
	next.Lines += len(o.Lines)
	next.Countries[o.Country] = net
	m.f = next
	return nil
}

// Figures returns the figures so far.
func (m *Module) Figures() Figures {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.f
	f.Countries = maps.Clone(f.Countries)
	return f
}
