package jitneytest

import (
	"context"
	"slices"
	"time"

	"github.com/jitney-go/jitney"
)

// rehearsed is a cursor of a [Rehearsal]. What it has read and not given is in its pool, and may go back there.
type rehearsed struct {
	r     *Rehearsal
	inner *memoryCursor
	d     jitney.Durable
	wake  chan struct{} // has an element when Next is to look again

	// Guarded by r.mu.
	pool   []jitney.Entry  // in order
	looked int64           // how far it has read
	given  map[int64]*lent // by position, those not settled
	hit    map[int64]bool  // it has been decided what happens to them
	keep   []settlement    // not stored so far
	lost   bool            // the place is another process's
	dead   bool            // closed, or its process has died
	told   int64           // the last through
	begun  bool            // Next has returned since the place was opened or taken over
}

// lent is an entry that was given, with what its settlement is to come to.
type lent struct {
	jitney.Entry
	fate string // "", AckLost or PlaceLost
}

// settlement is one that is lost if the process dies.
type settlement struct {
	entry   jitney.Entry
	outcome jitney.Outcome
}

func newRehearsed(r *Rehearsal, inner *memoryCursor, d jitney.Durable) *rehearsed {
	return &rehearsed{
		r: r, inner: inner, d: d, wake: make(chan struct{}, 1), looked: int64(inner.next), told: -1,
		given: make(map[int64]*lent), hit: make(map[int64]bool),
	}
}

// Next implements [jitney.Cursor].
func (c *rehearsed) Next(ctx context.Context, most int) ([]jitney.Entry, int64, error) {
	for {
		through, back, err := c.regain(ctx)
		if back || err != nil {
			return nil, through, err
		}
		entries, through, wait := c.give(most)
		if wait == nil {
			return entries, through, nil
		}
		if err := wait(ctx); err != nil {
			return nil, 0, err
		}
	}
}

// regain takes the place back from the other process, and reports whether it has: what was recalled may come again when
// Next has returned.
func (c *rehearsed) regain(ctx context.Context) (through int64, back bool, err error) {
	c.r.mu.Lock()
	lost, flying := c.lost, c.flying()
	c.r.mu.Unlock()
	if lost && c.d.Recall != nil {
		if err := c.d.Recall(ctx, flying...); err != nil {
			return 0, false, err
		}
	}
	c.r.mu.Lock()
	if back = lost && !c.dead; back {
		c.rewind()
		through = c.through()
	}
	news := !c.begun && !c.dead && !back
	c.r.mu.Unlock()
	if news && c.d.Held != nil {
		c.d.Held(c.inner.wasHeld())
	}
	return through, back, nil
}

// flying are the positions of what is not settled, in order.
func (c *rehearsed) flying() (positions []int64) {
	for at := range c.given {
		positions = append(positions, at)
	}
	slices.Sort(positions)
	return positions
}

// rewind goes back to what is stored.
func (c *rehearsed) rewind() {
	for at, l := range c.given {
		if l.fate != "" { // it has not come to it
			delete(c.hit, at)
		}
	}
	clear(c.given)
	c.pool, c.keep = nil, nil
	c.inner.next = c.inner.p.start
	c.looked, c.told = int64(c.inner.next), -1
	c.lost, c.begun = false, false
}

// give returns what there is to give or to tell, or what to wait for.
func (c *rehearsed) give(most int) (entries []jitney.Entry, through int64, wait func(context.Context) error) {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	switch {
	case c.dead:
		return nil, 0, c.waiting(nil, 0)
	case c.lost: // just now
		return nil, 0, func(context.Context) error { return nil }
	}
	changed := c.fill(most)
	for len(entries) < most {
		at, left := c.pick(most)
		if at < 0 {
			wait = c.waiting(changed, left)
			break
		}
		entries = append(entries, c.lend(at))
	}
	if through = c.through(); len(entries) == 0 && through == c.told && c.begun {
		return nil, 0, wait
	}
	c.told, c.begun = through, true
	return entries, through, nil
}

// waiting returns a function that waits until there may be more to give.
func (c *rehearsed) waiting(changed <-chan struct{}, left time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		var late <-chan time.Time
		if left > 0 {
			late = time.After(left)
		}
		select {
		case <-changed:
		case <-late:
		case <-c.wake:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		return nil
	}
}

// Settle implements [jitney.Cursor].
func (c *rehearsed) Settle(position int64, o jitney.Outcome) {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	l := c.given[position]
	if c.dead || c.lost || l == nil { // or its other copy has been settled
		return
	}
	if l.fate != "" {
		c.r.note(l.fate, c.d.Name, l.Envelope)
	}
	switch l.fate {
	case AckLost:
		delete(c.given, position)
		c.put(l.Entry)
	case PlaceLost:
		l.fate = ""
		c.forget()
		c.lost = true
	default:
		delete(c.given, position)
		c.keep = append(c.keep, settlement{l.Entry, o})
		if len(c.keep) >= c.r.profile.Window {
			c.store()
		}
		return
	}
	c.r.lose()
}

// Postpone implements [jitney.Cursor].
func (c *rehearsed) Postpone(position int64, p jitney.Progress) {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	if !c.dead && !c.lost {
		c.inner.Postpone(position, p)
	}
}

// Hold implements [jitney.Cursor].
func (c *rehearsed) Hold(ctx context.Context, h jitney.Held) error {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	if c.lost {
		return jitney.ErrInUse
	}
	return c.inner.Hold(ctx, h)
}

// Close implements [jitney.Cursor].
func (c *rehearsed) Close(ctx context.Context) error {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	if !c.dead {
		c.store()
	}
	c.dead = true
	delete(c.r.cursors, c)
	return c.inner.Close(ctx)
}
