package middleware_test

import (
	"context"
	"fmt"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/middleware"
)

// Two subscribers use one database, with at most two connections between them.
func ExampleBulkhead() {
	ctx := context.Background()
	b := jitney.New(quiet)
	database := middleware.NewBulkhead(2)
	query := func(context.Context, happened) error { return nil }
	for _, name := range []string{"orders", "reports"} {
		jitney.Subscribe(b, name, query, jitney.WithWorkers(8), jitney.WithMiddleware(database.Middleware))
	}
	_ = b.Publish(ctx, happened{"a"}, happened{"b"}, happened{"c"})
	_ = b.Shutdown(ctx)
	fmt.Println(database.Stats().Passed, "queries")
	// Output: 6 queries
}

// A partner allows a thousand calls a second, and bursts of ten.
func ExampleRateLimit() {
	ctx := context.Background()
	b := jitney.New(quiet)
	partner := middleware.NewRateLimit(1000, 10)
	jitney.Subscribe(b, "partner", func(context.Context, happened) error { return nil },
		jitney.WithWorkers(4), jitney.WithMiddleware(partner.Middleware))
	for n := range 15 {
		_ = b.Publish(ctx, happened{fmt.Sprint(n)})
	}
	_ = b.Shutdown(ctx)
	fmt.Println(partner.Stats().Passed, "calls")
	// Output: 15 calls
}
