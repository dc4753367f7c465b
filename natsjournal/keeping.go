package natsjournal

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jitney-go/jitney"
)

// keep writes what has been settled, and renews the lease, until the cursor is closed.
func (c *cursor) keep() {
	defer close(c.stopped)
	t := time.NewTimer(time.Hour)
	defer t.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-c.bell:
		case <-t.C:
		}
		t.Reset(c.tend())
	}
}

// tend does what is due, and returns when it is to be called again at the latest.
func (c *cursor) tend() time.Duration {
	c.mu.Lock()
	r, fallen := c.reign, c.fallen
	var due time.Duration
	if r != nil {
		due = r.due()
	}
	c.mu.Unlock()
	switch {
	case fallen != nil:
		c.dethrone(fallen)
		return 0
	case r == nil:
		return time.Hour
	case time.Now().After(r.expiry()):
		c.lose(r, errNotRenewed)
		return 0
	}
	if due = max(due, time.Until(c.retry)); due > 0 {
		return due
	}
	ctx, cancel := context.WithDeadline(c.life, r.expiry()) // or else it would be noticed too late
	defer cancel()
	err := r.write(ctx, func(*value) {})
	switch {
	case err == nil:
		c.failures = 0
	case c.life.Err() == nil && !errors.Is(err, jitney.ErrInUse):
		if c.failures++; powerOfTwo(c.failures) {
			c.j.log.Error("natsjournal: what was settled is not stored, will try again",
				slog.String("subscriber", c.d.Name), slog.Int("times", c.failures), slog.String("error", err.Error()))
		}
		c.retry = time.Now().Add(min(50*time.Millisecond, c.j.lease/12))
	}
	return 0
}

func powerOfTwo(n int) bool { return n&(n-1) == 0 }

var errNotRenewed = errors.New("it could not be renewed")

// ring has keep look.
func (c *cursor) ring() {
	select {
	case c.bell <- struct{}{}:
	default:
	}
}

// lose ends a reign: the place is another's, or may be soon.
func (c *cursor) lose(r *reign, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fall(r, why)
}

// fall is lose, called with c.mu held.
func (c *cursor) fall(r *reign, why error) {
	if c.reign != r || c.closed {
		return
	}
	c.reign, c.fallen, r.why = nil, r, why
	r.cancel()
	c.ring()
}

// dethrone takes back what is in flight of a reign that has ended. Until that is done this process stands in no line.
func (c *cursor) dethrone(r *reign) {
	<-r.read
	c.mu.Lock()
	flying, why := r.place.Flying(), r.why
	c.mu.Unlock()
	c.j.log.Warn("natsjournal: subscriber is no longer this process's",
		slog.String("subscriber", c.d.Name), slog.Int("in_flight", len(flying)), slog.String("error", why.Error()))
	if c.d.Recall != nil && len(flying) > 0 {
		if err := c.d.Recall(c.life, flying...); err != nil && c.life.Err() == nil {
			c.j.log.Error("natsjournal: what is in flight was not taken back",
				slog.String("subscriber", c.d.Name), slog.String("error", err.Error()))
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fallen, c.recalled = nil, len(flying) > 0
}

// hasRecalled reports whether something in flight was recalled since it was asked last.
func (c *cursor) hasRecalled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.recalled
	c.recalled = false
	return was
}
