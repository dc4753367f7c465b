// Package middleware has what many applications wrap around their handlers. Each file is one middleware,
// small enough to be copied and changed.
package middleware

import (
	"context"
	"log/slog"
	"time"

	"github.com/jitney-go/jitney"
)

// Logging writes a line to logger after each attempt: at debug level when it succeeded, at warn level when
// it failed. The line names subscriber, event type, id, correlation id and attempt, and how long it took;
// it shows neither payload nor key. For a batch it names one delivery (see jitney.Deliveries) and how many there are. A nil logger stands for slog.Default(), as it is at each line.
//
// An attempt that panics in a middleware further in, or ends its goroutine, is logged as one that did not
// return.
func Logging(logger *slog.Logger) jitney.Middleware {
	return func(next jitney.Handler) jitney.Handler {
		return func(ctx context.Context, e jitney.Event) error {
			l := logger
			if l == nil {
				l = slog.Default()
			}
			begin := time.Now()
			returned := false
			var err error
			batch, _ := e.(jitney.Batch)
			defer func() { logAttempt(ctx, l, time.Since(begin), len(batch), err, returned) }()
			err = next(ctx, e)
			returned = true
			return err
		}
	}
}

func logAttempt(ctx context.Context, l *slog.Logger, took time.Duration, batch int, err error, returned bool) {
	d := jitney.FromContext(ctx)
	level, outcome := slog.LevelDebug, "succeeded"
	switch {
	case !returned:
		level, outcome = slog.LevelWarn, "did not return"
	case err != nil:
		level, outcome = slog.LevelWarn, "failed"
	}
	attrs := []slog.Attr{
		slog.String("subscriber", d.Subscriber), slog.Any("event", d.Envelope),
		slog.Int("attempt", d.Attempt), slog.Duration("took", took), slog.String("outcome", outcome),
	}
	if batch > 0 {
		attrs = append(attrs, slog.Int("batch", batch))
	}
	if err != nil {
		attrs = append(attrs, slog.Any("error", err))
	}
	l.LogAttrs(ctx, level, "handled event", attrs...)
}
