package middleware

import (
	"context"
	"fmt"

	"github.com/jitney-go/jitney"
)

// Bulkhead lets at most so many attempts run at once; the others wait for their turn, first come first
// served, each with its lane and its worker. An attempt whose context ends while it waits fails, with an
// error that wraps the context's cause.
//
// A subscription alone is bounded by its workers. A bulkhead bounds what several of them do to one database
// or one partner, and the publishers that a subscription made WithSync runs in: give them the same one. It
// must not be given to a subscription whose synchronous handling another attempt inside it waits for.
type Bulkhead struct {
	account
	places chan struct{}
}

// NewBulkhead returns a bulkhead with n places. n must be at least 1, or it panics.
func NewBulkhead(n int) *Bulkhead {
	if n < 1 {
		panic(fmt.Sprintf("middleware: NewBulkhead(%d): out of range", n))
	}
	return &Bulkhead{places: make(chan struct{}, n)}
}

// Middleware is a [jitney.Middleware].
func (b *Bulkhead) Middleware(next jitney.Handler) jitney.Handler {
	return func(ctx context.Context, e jitney.Event) error {
		if err := b.enter(ctx); err != nil {
			return err
		}
		defer func() { <-b.places }()
		return next(ctx, e)
	}
}

func (b *Bulkhead) enter(ctx context.Context) error {
	select {
	case b.places <- struct{}{}:
		b.atOnce(true)
		return nil
	default:
	}
	return b.wait(func() error {
		select {
		case b.places <- struct{}{}:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("middleware: bulkhead: %w", context.Cause(ctx))
		}
	})
}
