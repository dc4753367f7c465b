package bridge_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/bridge"
	"github.com/jitney-go/jitney/jitneytest"
)

// The payments module has moved into a process of its own. Orders reach it across an engine, and its events come back.
func Example() {
	ctx := context.Background()
	engine := jitneytest.NewMemoryJournal(types()) // in earnest, one that both processes reach
	quiet := slog.New(slog.DiscardHandler)

	shop := jitney.New(jitney.WithLogger(quiet))
	shopEnds := bridge.Ends{Bus: shop, Here: "shop", Engine: engine, There: "ORDERS", Logger: quiet}
	placedOut := bridge.Out[placed](shopEnds, "placed-out")
	paidIn := bridge.In[paid](shopEnds, "paid-in")
	jitney.Subscribe(shop, "shipping", func(_ context.Context, p paid) error {
		fmt.Println("shop: order", p.N, "is paid")
		return nil
	})

	payments := jitney.New(jitney.WithLogger(quiet))
	paymentsEnds := bridge.Ends{Bus: payments, Here: "payments", Engine: engine, There: "ORDERS", Logger: quiet}
	placedIn := bridge.In[placed](paymentsEnds, "placed-in")
	paidOut := bridge.Out[paid](paymentsEnds, "paid-out")
	jitney.Subscribe(payments, "payments", func(ctx context.Context, p placed) error {
		fmt.Println("payments: order", p.N, "in flow", jitney.FromContext(ctx).CorrelationID())
		return payments.Publish(ctx, paid{p.N})
	})

	_ = shop.Publish(jitney.ContextWithCorrelation(ctx, "request-7"), placed{"17", 17})
	for _, b := range []*jitney.Bus{shop, placedIn.Bus(), payments, paidIn.Bus(), shop} {
		_ = b.Flush(ctx)
	}
	fmt.Println(placedOut.Stats().Crossed, "out,", paidIn.Stats().Crossed, "in")
	_, _, _ = placedIn.Close(ctx), paidIn.Close(ctx), paidOut.Close(ctx)
	_, _ = shop.Shutdown(ctx), payments.Shutdown(ctx)
	// Output:
	// payments: order 17 in flow request-7
	// shop: order 17 is paid
	// 1 out, 1 in
}
