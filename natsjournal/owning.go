package natsjournal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/internal/place"
)

// Where several processes have a subscriber of one name, its place belongs to one of them at a time: to whoever has
// written its token there. It writes the place anew three times within a lease. The others look at it, and one of them
// takes it when it has not changed for a lease, by its own clock. Each write says which revision it replaces, so that
// who has lost the place without knowing it can write nothing more. Who cannot write for five sixths of a lease takes
// it as lost.

// hold waits until the place is this process's. The first time that it is another's it returns nil, and does not wait.
func (c *cursor) hold(ctx context.Context) (*reign, error) {
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		r, err := c.mine(ctx)
		if err != nil {
			return nil, fmt.Errorf("natsjournal: place of %s: %w", c.d.Name, because(ctx, err))
		}
		if r != nil {
			c.standby = false
			return r, nil
		}
		if !c.standby {
			c.standby = true
			return nil, nil
		}
		if err := pause(ctx, min(max(c.j.lease/30, 10*time.Millisecond), time.Second)); err != nil {
			return nil, err
		}
	}
}

// mine returns the reign there is, or begins one if the place is free.
func (c *cursor) mine(ctx context.Context) (*reign, error) {
	c.mu.Lock()
	r, fallen, closed := c.reign, c.fallen, c.closed
	c.mu.Unlock()
	switch {
	case closed:
		return nil, ErrClosed
	case r != nil || fallen != nil:
		return r, nil
	}
	ctx, cancel := c.j.patiently(ctx, patience)
	defer cancel()
	e, err := c.j.places.Get(ctx, placeKey(c.d.Name))
	if err != nil {
		return nil, err
	}
	v, err := parseValue(c.d.Name, e.Value())
	switch {
	case err != nil:
		return nil, err
	case v.Owner == "":
	case v.Owner == c.tried:
		v.Clean = c.clean
	case !c.expired(e.Revision()):
		return nil, nil
	}
	r, err = c.begin(ctx, v, e.Revision())
	if changedMeanwhile(err) {
		return nil, nil // somebody else was faster
	}
	return r, err
}

// expired reports whether the place has had the same revision for a lease.
func (c *cursor) expired(revision uint64) bool {
	if c.seen != revision || c.since.IsZero() {
		c.seen, c.since = revision, time.Now()
	}
	return time.Since(c.since) >= c.j.lease
}

// begin takes the place as v has it.
func (c *cursor) begin(ctx context.Context, v value, revision uint64) (*reign, error) {
	end, err := c.j.end(ctx)
	if err != nil {
		return nil, err
	}
	if v.Floor > end {
		return nil, fmt.Errorf("%w: %d, and the newest event is %d", ErrPositionAhead, v.Floor, end)
	}
	ahead, err := place.ReadAhead(v.Floor, v.Ahead)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	r := newReign(c, v, revision, ahead)
	died := !v.Clean
	c.tried, c.clean = r.token, v.Clean // if the answer is lost, the next attempt finds it
	v.Owner, v.Clean = r.token, false
	if err := r.put(ctx, v); err != nil {
		r.cancel()
		return nil, err
	}
	if err := r.loadNotes(ctx, v); err != nil {
		r.cancel()
		return nil, err
	}
	if died {
		r.recovery = recovery{left: max(c.d.Window, 1), suspect: v.Suspect, deaths: v.Deaths}
		c.j.log.Warn("natsjournal: a process has died with this subscriber open, or has lost it; what was in flight is given one by one",
			slog.String("subscriber", c.d.Name))
	}
	return r, c.enthrone(r)
}

func (c *cursor) enthrone(r *reign) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		r.cancel()
		return ErrClosed
	}
	c.reign, r.renewed, c.tried = r, r.began, ""
	go r.receive()
	c.ring()
	return nil
}

func newReign(c *cursor, v value, revision uint64, ahead []int64) *reign {
	r := &reign{
		c: c, token: cmp.Or(c.tried, uuid.NewString()), began: time.Now(), value: v, revision: revision, place: place.New(v.Floor, ahead),
		notes: make(map[int64]*held), gone: make(map[int64]uint64), writing: make(chan struct{}, 1),
		arrivals: make(chan arrival, readAhead), poke: make(chan struct{}, 1), read: make(chan struct{}), first: true,
		wasHeld: &jitney.Held{},
	}
	if v.Held != nil {
		*r.wasHeld = *v.Held
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

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
	c.fallen, c.recall = nil, flying
}

// recallAgain takes back what Next had returned just when the place was lost, and the bus did not know of yet.
func (c *cursor) recallAgain(ctx context.Context) error {
	c.mu.Lock()
	flying := c.recall
	c.recall = nil
	c.mu.Unlock()
	if c.d.Recall == nil || len(flying) == 0 {
		return nil
	}
	return c.d.Recall(ctx, flying...)
}
