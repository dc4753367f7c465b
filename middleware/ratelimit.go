package middleware

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jitney-go/jitney"
)

// RateLimit lets at most rate attempts a second begin, and after a pause up to burst at once. The others
// wait for their turn, in their lane; an attempt whose context would end before that fails at once, with an
// error that says so and wraps the context's. rate must be above 0 and burst at least 1, or it panics.
//
// The limit is that of the value: given to one subscription it is that one's, shared by its workers; given
// to several, or to New, they share it.
//
// It is the generic cell rate algorithm (ITU-T I.371), the leaky bucket as a meter.
func RateLimit(rate float64, burst int) jitney.Middleware {
	if !(rate > 0) || burst < 1 {
		panic(fmt.Sprintf("middleware: RateLimit(%v, %d): out of range", rate, burst))
	}
	interval := max(time.Duration(float64(time.Second)/rate), 1)
	l := &limiter{interval: interval, slack: time.Duration(burst-1) * interval}
	return func(next jitney.Handler) jitney.Handler {
		return func(ctx context.Context, e jitney.Event) error {
			if err := l.wait(ctx); err != nil {
				return err
			}
			return next(ctx, e)
		}
	}
}

type limiter struct {
	interval, slack time.Duration

	mu  sync.Mutex
	due time.Time // when the next attempt would begin if there were no bursts
}

func (l *limiter) wait(ctx context.Context) error {
	wait, err := l.reserve(ctx, time.Now())
	if err != nil || wait <= 0 {
		return err
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("middleware: rate limit: %w", context.Cause(ctx))
	}
}

// reserve takes the next turn, unless ctx would end before it.
func (l *limiter) reserve(ctx context.Context, now time.Time) (time.Duration, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	due := l.due
	if due.Before(now) {
		due = now
	}
	wait := due.Add(-l.slack).Sub(now)
	if end, ok := ctx.Deadline(); ok && wait > 0 && now.Add(wait).After(end) {
		return 0, fmt.Errorf("middleware: rate limit: the turn comes in %v: %w", wait, context.DeadlineExceeded)
	}
	l.due = due.Add(l.interval)
	return wait, nil
}
