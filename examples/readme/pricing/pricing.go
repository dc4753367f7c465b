// Package pricing is the README's module that answers questions.
package pricing

import "github.com/jitney-go/jitney"

// Price is what an article costs.
type Price struct{ Cents int64 }

// PriceOf asks what an article costs.
type PriceOf struct {
	jitney.Returns[Price]
	SKU string
}

func (PriceOf) EventType() string { return "pricing.price_of" }
