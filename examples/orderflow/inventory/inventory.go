// Package inventory keeps the stock, and says when an article runs low.
package inventory

import (
	"cmp"
	"context"
	"slices"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/examples/orderflow/intake"
	"github.com/jitney-go/jitney/examples/orderflow/orders"
	"github.com/jitney-go/jitney/examples/orderflow/tally"
)

// Low says that an article has to be ordered again.
type Low struct {
	Article string
	Left    int
}

// EventType implements jitney.Event.
func (Low) EventType() string { return "inventory.low" }

// EventKey keeps what concerns one article in order.
func (l Low) EventKey() string { return l.Article }

// Module is the inventory. Every article begins with the same stock.
type Module struct {
	out          orders.Publisher
	begin, level int
	taken        tally.Sums // by article
}

// New returns a module that begins with begin of everything and warns below level.
func New(out orders.Publisher, taken tally.Sums, begin, level int) *Module {
	return &Module{out: out, taken: taken, begin: begin, level: level}
}

// Move handles orders and cancellations.
func (m *Module) Move(ctx context.Context, e orders.Event) error {
	var lines []intake.Line
	switch e := e.(type) {
	case orders.Placed:
		lines = e.Lines
	case orders.Cancelled:
		lines = e.Lines // their quantities are negative: goods come back
	}
	for _, l := range lines {
		if err := m.take(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

// take takes an article out of stock, and says so when that makes it run low.
func (m *Module) take(ctx context.Context, l intake.Line) error {
	taken, err := m.taken.Add(ctx, l.Article, int64(l.Quantity))
	if err != nil {
		return jitney.Permanent(err)
	}
	left := m.begin - int(taken)
	if left < m.level && left+l.Quantity >= m.level {
		return m.out.Publish(ctx, Low{l.Article, left})
	}
	return nil
}

// ToReorder lists what is below the level, the least first.
func (m *Module) ToReorder(ctx context.Context) (list []Low, err error) {
	taken, err := m.taken.All(ctx)
	for article, n := range taken {
		if left := m.begin - int(n); left < m.level {
			list = append(list, Low{article, left})
		}
	}
	slices.SortFunc(list, func(a, b Low) int {
		return cmp.Or(cmp.Compare(a.Left, b.Left), cmp.Compare(a.Article, b.Article))
	})
	return list, err
}
