// Package inventory keeps the stock, and says when an article runs low.
package inventory

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/jitney-go/jitney/examples/orderflow/intake"
	"github.com/jitney-go/jitney/examples/orderflow/orders"
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

	mu    sync.Mutex
	stock map[string]int
	low   map[string]bool // said so, and not filled up since
}

// New returns a module that begins with begin of everything and warns below level.
func New(out orders.Publisher, begin, level int) *Module {
	return &Module{out: out, begin: begin, level: level, stock: make(map[string]int), low: make(map[string]bool)}
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
	for _, low := range m.take(lines) {
		if err := m.out.Publish(ctx, low); err != nil {
			return err
		}
	}
	return nil
}

func (m *Module) take(lines []intake.Line) (lows []Low) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range lines {
		left, known := m.stock[l.Article]
		if !known {
			left = m.begin
		}
		left -= l.Quantity
		m.stock[l.Article] = left
		if left < m.level && !m.low[l.Article] {
			lows = append(lows, Low{l.Article, left})
		}
		m.low[l.Article] = left < m.level
	}
	return lows
}

// ToReorder lists what is below the level, the least first.
func (m *Module) ToReorder() (list []Low) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for article, low := range m.low {
		if low {
			list = append(list, Low{article, m.stock[article]})
		}
	}
	slices.SortFunc(list, func(a, b Low) int {
		return cmp.Or(cmp.Compare(a.Left, b.Left), cmp.Compare(a.Article, b.Article))
	})
	return list
}
