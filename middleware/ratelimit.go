package middleware

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jitney-go/jitney"
)

// RateLimit lets attempts begin at a bounded rate. Those before their turn wait, each with its lane and its
// worker; an attempt whose context would end before its turn fails at once, with an error that says so and
// wraps the context's. The limit is that of the value: given to one subscription it is shared by its
// workers; given to several, or to New, by all of them.
//
// It is the generic cell rate algorithm (ITU-T I.371), the leaky bucket as a meter.
type RateLimit struct {
	account
	interval, slack time.Duration

	turns sync.Mutex
	due   time.Time // when the next attempt would begin if there were no bursts; guarded by turns
}

// NewRateLimit returns a limit of rate attempts a second, of which up to burst may begin at once after a
// pause. rate must be above 0 and burst at least 1, or it panics.
func NewRateLimit(rate float64, burst int) *RateLimit {
	if !(rate > 0) || burst < 1 {
		panic(fmt.Sprintf("middleware: NewRateLimit(%v, %d): out of range", rate, burst))
	}
	interval := max(time.Duration(float64(time.Second)/rate), 1)
	return &RateLimit{interval: interval, slack: time.Duration(burst-1) * interval}
}

// Middleware is a [jitney.Middleware].
func (l *RateLimit) Middleware(next jitney.Handler) jitney.Handler {
	return func(ctx context.Context, e jitney.Event) error {
		if err := l.enter(ctx); err != nil {
			return err
		}
		return next(ctx, e)
	}
}

func (l *RateLimit) enter(ctx context.Context) error {
	wait, err := l.reserve(ctx, time.Now())
	if err != nil || wait <= 0 {
		l.atOnce(err == nil)
		return err
	}
	return l.wait(func() error {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("middleware: rate limit: %w", context.Cause(ctx))
		}
	})
}

// reserve takes the next turn, unless ctx would end before it.
func (l *RateLimit) reserve(ctx context.Context, now time.Time) (time.Duration, error) {
	l.turns.Lock()
	defer l.turns.Unlock()
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
