package deadletter_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/deadletter"
)

type Order struct{ No int }

func (Order) EventType() string { return "orders.placed" }

// ruined returns a bus whose subscriber could not handle so many orders, and has been put right but for one.
func ruined(orders int) (*jitney.Bus, jitney.DeadLetterStore) {
	ctx := context.Background()
	b, letters := jitney.New(jitney.WithLogger(slog.New(slog.DiscardHandler))), &jitney.MemoryDeadLetters{}
	repaired := false
	jitney.Subscribe(b, "billing", func(_ context.Context, o Order) error {
		if !repaired || o.No == 4 {
			return jitney.Permanent(fmt.Errorf("order %d: %w", o.No, errors.New("no price list")))
		}
		return nil
	}, jitney.WithDeadLetters(letters))
	for n := range orders {
		_ = b.Publish(ctx, Order{n})
	}
	_ = b.Flush(ctx)
	repaired = true
	return b, letters
}

// First look, then try, then do.
func ExampleRedrive() {
	ctx := context.Background()
	b, letters := ruined(10)

	job := deadletter.Redrive{
		Bus: b, Store: letters, Filter: jitney.DeadLetterFilter{Subscriber: "billing"},
		Canary: 1, Rate: 1000, MaxFailures: 0.2,
	}
	job.DryRun = true
	report, err := job.Run(ctx)
	fmt.Println(report, err)

	job.DryRun = false
	report, err = job.Run(ctx) // had it ended early: job.From = report.Checkpoint, and Run again
	fmt.Println(report, err)
	for _, f := range report.Failures {
		fmt.Println(f.Subscriber, f.Type, f.Err)
	}
	_ = b.Shutdown(ctx)
	// Output:
	// dry run: 10 letters in 1 groups, 0 would be edited, 0 could not be <nil>
	// 10 of 10 letters tried: 9 succeeded, 1 failed, 0 unknown; 0 edited, 0 gone <nil>
	// billing orders.placed order 4: no price list
}

func ExampleGroups() {
	ctx := context.Background()
	b, letters := ruined(10)
	groups, _ := deadletter.Groups(ctx, letters, jitney.DeadLetterFilter{})
	for _, g := range groups {
		fmt.Println(g.Count, g.Subscriber, g.Fingerprint)
		fmt.Println("such as", g.Sample.LastError())
	}
	_ = b.Shutdown(ctx)
	// Output:
	// 10 billing *errors.errorString: order #: no price list
	// such as order 9: no price list
}
