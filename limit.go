package jitney

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// limited is the context of the part of an attempt that has WithTimeout. As with scope, its timer is made
// when somebody first asks for what needs one; who never does pays for two readings of the clock.
type limited struct {
	context.Context               // of the attempt
	begin           time.Duration // since start
	timeout         time.Duration
	cause           error
	ended           atomic.Bool
	inner           atomic.Pointer[cancellable]
}

// limit gives an attempt the subscription's timeout.
func (s *Subscription) limit(next Handler) Handler {
	cause := fmt.Errorf("%w after %v", ErrTimeout, s.timeout)
	return func(ctx context.Context, e Event) error {
		l := &limited{Context: ctx, begin: time.Since(start), timeout: s.timeout, cause: cause}
		defer l.end()
		err := next(l, e)
		if !l.expired() {
			return err
		}
		if err == nil {
			if c := scopeOf(ctx); c != nil {
				c.state.Or(scopeLate)
			}
			return nil
		}
		return fmt.Errorf("%w: %w", cause, err)
	}
}

// expired reports whether it is the timeout that has ended l.
func (l *limited) expired() bool {
	if c := l.inner.Load(); c != nil {
		return c.Err() != nil && context.Cause(c) == l.cause
	}
	return time.Since(start)-l.begin >= l.timeout && l.Context.Err() == nil
}

// Deadline implements context.Context.
func (l *limited) Deadline() (time.Time, bool) { return l.cancellable().Deadline() }

func (l *limited) left() time.Duration { return l.timeout - (time.Since(start) - l.begin) }

// Value implements context.Context; see scope.Value for *int.
func (l *limited) Value(key any) any {
	if _, ok := key.(*int); ok {
		return l.cancellable().Value(key)
	}
	return l.Context.Value(key)
}

// Done implements context.Context.
func (l *limited) Done() <-chan struct{} { return l.cancellable().Done() }

// Err implements context.Context.
func (l *limited) Err() error {
	if l.inner.Load() == nil && !l.ended.Load() && l.left() > 0 {
		return l.Context.Err()
	}
	return l.cancellable().Err()
}

func (l *limited) cancellable() *cancellable {
	if c := l.inner.Load(); c != nil {
		return c
	}
	c := &cancellable{}
	ctx, cancel := context.WithTimeoutCause(l.Context, l.left(), l.cause)
	c.Context, c.cancel = ctx, func(error) { cancel() }
	if !l.inner.CompareAndSwap(nil, c) {
		c.end()
		return l.inner.Load()
	}
	if l.ended.Load() {
		c.end()
	}
	return c
}

// end is called when the handler has returned.
func (l *limited) end() {
	l.ended.Store(true)
	if c := l.inner.Load(); c != nil {
		c.end()
	}
}
