package jitney_test

import (
	"context"
	"fmt"

	"github.com/jitney-go/jitney"
)

// RateChanged tells a currency's new exchange rate.
type RateChanged struct {
	Currency string
	Rate     float64
}

func (RateChanged) EventType() string  { return "rates.changed" }
func (r RateChanged) EventKey() string { return r.Currency }

// Who comes late begins with what holds now, and goes on with what changes.
func ExampleWithSticky() {
	ctx := context.Background()
	b := jitney.New(noLog, jitney.WithRetained[RateChanged](100)) // of the last 100 currencies

	_ = b.Publish(ctx, RateChanged{"EUR", 1.08}, RateChanged{"GBP", 1.27}, RateChanged{"EUR", 1.09})

	jitney.Subscribe(b, "converter", func(_ context.Context, e RateChanged) error {
		fmt.Println(e.Currency, e.Rate)
		return nil
	}, jitney.WithSticky())

	_ = b.Publish(ctx, RateChanged{"GBP", 1.28})
	_ = b.Shutdown(ctx)
	// Output:
	// GBP 1.27
	// EUR 1.09
	// GBP 1.28
}
