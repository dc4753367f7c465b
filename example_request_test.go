package jitney_test

import (
	"context"
	"fmt"

	"github.com/jitney-go/jitney"
)

// Price is the answer to PriceOf.
type Price struct{ Cents int64 }

// PriceOf asks what an article costs.
type PriceOf struct {
	jitney.Returns[Price]
	SKU string
}

func (PriceOf) EventType() string { return "pricing.price_of" }

// A module asks for what it has to know at once, and does not know who answers.
func ExampleAsk() {
	ctx := context.Background()
	b := jitney.New(noLog)

	jitney.Answer(b, "pricing", func(_ context.Context, q PriceOf) (Price, error) {
		if q.SKU != "1" {
			return Price{}, fmt.Errorf("no article %s", q.SKU)
		}
		return Price{4200}, nil
	})

	price, err := jitney.Ask(ctx, b, PriceOf{SKU: "1"})
	fmt.Println(price.Cents, err)
	_, err = jitney.Ask(ctx, b, PriceOf{SKU: "2"})
	fmt.Println(err)
	_ = b.Shutdown(ctx)
	// Output:
	// 4200 <nil>
	// jitney: ask pricing.price_of of pricing: no article 2
}
