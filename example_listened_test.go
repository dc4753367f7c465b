package jitney_test

import (
	"context"
	"fmt"

	"github.com/jitney-go/jitney"
)

// StockCounted has a line for each article in a warehouse: it takes long to make.
type StockCounted struct{ Lines []string }

func (StockCounted) EventType() string { return "stock.counted" }

// An event that costs much to build is built when somebody listens.
func ExampleListened() {
	ctx := context.Background()
	b := jitney.New(noLog)
	count := func() StockCounted {
		fmt.Println("counting")
		return StockCounted{Lines: []string{"shoes: 3"}}
	}

	if jitney.Listened[StockCounted](b) {
		_ = b.Publish(ctx, count())
	}
	jitney.Subscribe(b, "reports", func(_ context.Context, e StockCounted) error {
		fmt.Println(e.Lines)
		return nil
	})
	if jitney.Listened[StockCounted](b) {
		_ = b.Publish(ctx, count())
	}
	_ = b.Shutdown(ctx)
	// Output:
	// counting
	// [shoes: 3]
}
