// Package orders is the README's module that others listen to.
package orders

type Placed struct {
	OrderID string
	Cents   int64
}

func (Placed) EventType() string  { return "orders.placed" } // stable: it outlives the Go type
func (p Placed) EventKey() string { return p.OrderID }       // optional: same key, same order

// ReminderDue says that somebody is to be reminded of an order now.
type ReminderDue struct{ OrderID string }

// EventType implements jitney.Event.
func (ReminderDue) EventType() string { return "orders.reminder_due" }
