package natsjournal

import (
	"cmp"
	"context"
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
		arrivals: make(chan arrival, readAhead), poke: make(chan struct{}, 1), read: make(chan struct{}), first: true, told: v.Floor,
		wasHeld: &jitney.Held{},
	}
	if v.Held != nil {
		*r.wasHeld = *v.Held
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}
