package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jitney-go/jitney"
)

// busy adds up the time that each subscriber's handler takes.
type busy struct{ spent sync.Map } // name → *atomic.Int64, nanoseconds

func (b *busy) middleware(next jitney.Handler) jitney.Handler {
	return func(ctx context.Context, e jitney.Event) error {
		begin := time.Now()
		defer func() {
			total, _ := b.spent.LoadOrStore(jitney.FromContext(ctx).Subscriber, new(atomic.Int64))
			total.(*atomic.Int64).Add(int64(time.Since(begin)))
		}()
		return next(ctx, e)
	}
}

func (b *busy) of(subscriber string) time.Duration {
	total, ok := b.spent.Load(subscriber)
	if !ok {
		return 0
	}
	return time.Duration(total.(*atomic.Int64).Load())
}
