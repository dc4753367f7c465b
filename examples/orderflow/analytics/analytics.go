// Package analytics keeps the shop's figures.
package analytics

import (
	"context"
	"errors"
	"strings"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/examples/orderflow/money"
	"github.com/jitney-go/jitney/examples/orderflow/orders"
	"github.com/jitney-go/jitney/examples/orderflow/tally"
)

// Figures are what a shop owner asks for first.
type Figures struct {
	Orders, Cancellations, Lines int
	Gross, Refunds               money.Amount
	Countries                    map[string]money.Amount // net
}

// Module is the analytics module.
type Module struct{ sums tally.Sums }

// What the sums are called; a country's has its name behind it.
const (
	placed    = "orders"
	cancelled = "cancellations"
	lines     = "lines"
	gross     = "gross"
	refunds   = "refunds"
	country   = "country "
)

// New returns the module.
func New(sums tally.Sums) *Module { return &Module{sums} }

// Count handles orders and cancellations.
func (m *Module) Count(ctx context.Context, e orders.Event) error {
	switch e := e.(type) {
	case orders.Placed:
		return m.count(ctx, e.Order, placed, gross, int64(e.Total))
	case orders.Cancelled:
		return m.count(ctx, e.Order, cancelled, refunds, -int64(e.Total))
	}
	return nil
}

func (m *Module) count(ctx context.Context, o orders.Order, number, amount string, total int64) error {
	for _, sum := range [...]struct {
		name string
		d    int64
	}{{amount, total}, {country + o.Country, int64(o.Total)}, {number, 1}, {lines, int64(len(o.Lines))}} {
		if _, err := m.sums.Add(ctx, sum.name, sum.d); errors.Is(err, tally.ErrRange) {
			return jitney.Permanent(err)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// Figures returns the figures so far.
func (m *Module) Figures(ctx context.Context) (Figures, error) {
	sums, err := m.sums.All(ctx)
	f := Figures{
		Orders: int(sums[placed]), Cancellations: int(sums[cancelled]), Lines: int(sums[lines]),
		Gross: money.Amount(sums[gross]), Refunds: money.Amount(sums[refunds]), Countries: make(map[string]money.Amount),
	}
	for name, sum := range sums {
		if of, ok := strings.CutPrefix(name, country); ok {
			f.Countries[of] = money.Amount(sum)
		}
	}
	return f, err
}
