// Package rates is the README's module whose last events are kept.
package rates

// Changed tells a currency's new exchange rate.
type Changed struct {
	Currency string
	Rate     float64
}

// EventType implements jitney.Event.
func (Changed) EventType() string { return "rates.changed" }

// EventKey has the last event of each currency kept.
func (c Changed) EventKey() string { return c.Currency }
