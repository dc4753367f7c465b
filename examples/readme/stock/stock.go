// Package stock is the README's module whose event costs much to build.
package stock

// Counted has a line for each article in a warehouse.
type Counted struct{ Lines []string }

// EventType implements jitney.Event.
func (Counted) EventType() string { return "stock.counted" }
