// Package orders is the README's module that others listen to.
package orders

type Placed struct {
	OrderID string
	Cents   int64
}

func (Placed) EventType() string  { return "orders.placed" } // stable: it outlives the Go type
func (p Placed) EventKey() string { return p.OrderID }       // optional: same key, same order
