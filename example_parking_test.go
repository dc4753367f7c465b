package jitney_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/jitney-go/jitney"
)

// Payment has its account as key.
type Payment struct {
	Account string
	Cents   int
}

func (Payment) EventType() string  { return "payments.made" }
func (p Payment) EventKey() string { return p.Account }

// The order of a key is kept across a dead letter; other keys flow.
func ExampleWithParking() {
	ctx := context.Background()
	b := jitney.New(noLog)
	letters := &jitney.MemoryDeadLetters{}
	s := jitney.Subscribe(b, "ledger", func(_ context.Context, p Payment) error {
		if p.Cents < 0 {
			return jitney.Permanent(errors.New("negative amount"))
		}
		fmt.Println("booked", p.Account, p.Cents)
		return nil
	}, jitney.WithDeadLetters(letters), jitney.WithParking(1000))

	_ = b.Publish(ctx, Payment{"ann", -5}, Payment{"ann", 20}, Payment{"bob", 30})
	_ = b.Flush(ctx)
	fmt.Println("parked:", s.Stats().Parked)

	dead, _ := letters.List(ctx, jitney.DeadLetterFilter{})
	amended, _ := b.Amend(ctx, dead[0], Payment{"ann", 5}) // or Discard it
	_ = b.Redeliver(ctx, amended)
	_ = b.Shutdown(ctx)
	// Output:
	// booked bob 30
	// parked: 1
	// booked ann 5
	// booked ann 20
}

func ExampleBus_Discard() {
	ctx := context.Background()
	b := jitney.New(noLog)
	letters := &jitney.MemoryDeadLetters{}
	jitney.Subscribe(b, "ledger", func(_ context.Context, p Payment) error {
		if p.Cents < 0 {
			return jitney.Permanent(errors.New("negative amount"))
		}
		fmt.Println("booked", p.Account, p.Cents)
		return nil
	}, jitney.WithDeadLetters(letters), jitney.WithParking(1000))

	_ = b.Publish(ctx, Payment{"ann", -5}, Payment{"ann", 20})
	_ = b.Flush(ctx)
	dead, _ := letters.List(ctx, jitney.DeadLetterFilter{})
	err := b.Discard(ctx, dead[0])
	_ = b.Shutdown(ctx)
	fmt.Println("discarded, error:", err)
	// Output:
	// booked ann 20
	// discarded, error: <nil>
}
