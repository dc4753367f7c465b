package natsjournal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/jitney-go/jitney"
)

// cursor implements [jitney.Cursor].
type cursor struct {
	j *Journal
	d jitney.Durable

	// Next's alone.
	standby bool      // the place is another process's, and Next has said so
	seen    uint64    // the revision at which another has it
	since   time.Time // when that was seen first
	tried   string    // the token that the place was to be taken with, when it was not known whether it was
	clean   bool      // how the place was before that

	bell    chan struct{} // has an element when there is something to be written
	stop    chan struct{} // closed to end keep
	stopped chan struct{} // closed by keep
	life    context.Context
	die     context.CancelFunc

	// keep's alone.
	failures int       // to store the place, in a row
	retry    time.Time // it is not tried again before

	mu       sync.Mutex
	closed   bool
	reign    *reign // nil while the place is not ours
	fallen   *reign // has lost it, and what was in flight is to be recalled
	recalled bool   // that has been done, and Next has not returned since
}

// What is wrong with what is stored.
var (
	// ErrCorrupt: what the journal keeps beside the events cannot be read.
	ErrCorrupt = errors.New("record is corrupt")
	// ErrPositionAhead: the subscriber has settled what the stream does not have: an older copy of it was restored.
	ErrPositionAhead = errors.New("subscriber is ahead of the journal")
)

// Open implements [jitney.Journal]. Where several processes have a subscriber of the same name, one of them is given
// its events; see the package's comment.
func (j *Journal) Open(ctx context.Context, d jitney.Durable) (jitney.Cursor, error) {
	c := &cursor{j: j, d: d, bell: make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{})}
	c.life, c.die = context.WithCancel(context.Background())
	err := j.reserve(c)
	if err == nil {
		if err = c.ensure(ctx); err != nil {
			j.release(c)
		}
	}
	if err != nil {
		c.die()
		return nil, fmt.Errorf("natsjournal: open %s: %w", d.Name, err)
	}
	go c.keep()
	return c, nil
}

func (j *Journal) reserve(c *cursor) error {
	if len(asideKey(c.d.Name, math.MaxInt64)) > maxSubject/2 {
		return fmt.Errorf("its name has %d bytes", len(c.d.Name))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.closed:
		return ErrClosed
	case j.cursors[c.d.Name] != nil:
		return jitney.ErrInUse
	}
	j.cursors[c.d.Name] = c
	return nil
}

func (j *Journal) release(c *cursor) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.cursors[c.d.Name] == c {
		delete(j.cursors, c.d.Name)
	}
}

// ensure makes the subscriber's place if it is not there.
func (c *cursor) ensure(ctx context.Context) error {
	ctx, cancel := c.j.patiently(ctx, patience)
	defer cancel()
	_, err := c.j.places.Get(ctx, placeKey(c.d.Name))
	if !errors.Is(err, jetstream.ErrKeyNotFound) {
		return because(ctx, err)
	}
	v := value{Format: format, Clean: true}
	if v.Floor, err = c.j.start(ctx, c.d.From); err != nil {
		return err
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if _, err = c.j.places.Create(ctx, placeKey(c.d.Name), text); changedMeanwhile(err) {
		return nil // another process has made it
	}
	return because(ctx, err)
}

// Next implements [jitney.Cursor]. While there is no connection it waits for one.
func (c *cursor) Next(ctx context.Context, most int) ([]jitney.Entry, int64, error) {
	for {
		entries, through, err := c.next(ctx, most)
		if !errors.Is(err, ErrNotConnected) || c.j.nc.IsConnected() || c.j.connected(ctx) != nil {
			return entries, through, err
		}
	}
}

func (c *cursor) next(ctx context.Context, most int) ([]jitney.Entry, int64, error) {
	r, err := c.hold(ctx)
	if err != nil {
		return nil, 0, err
	}
	if r == nil { // nothing needs handling here, whatever comes
		return nil, math.MaxInt64, nil
	}
	if c.hasRecalled() { // it comes with the next call
		return nil, 0, nil
	}
	if r.wasHeld != nil && c.d.Held != nil {
		c.d.Held(*r.wasHeld)
	}
	r.wasHeld = nil
	entries, through, err := r.next(ctx, most)
	if err != nil && !r.lost() {
		return nil, 0, fmt.Errorf("natsjournal: read for %s: %w", c.d.Name, err)
	}
	return entries, through, nil
}

// Settle implements [jitney.Cursor].
func (c *cursor) Settle(position int64, o jitney.Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.reign; r != nil && !c.closed && r.place.Settle(position, o) {
		r.survived(position)
		r.touch()
	}
}

// Postpone implements [jitney.Cursor].
func (c *cursor) Postpone(position int64, p jitney.Progress) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.reign; r != nil && !c.closed && r.place.Postpone(position, p) {
		r.survived(position)
		r.touch()
	}
}

// Hold implements [jitney.Cursor].
func (c *cursor) Hold(ctx context.Context, h jitney.Held) error {
	r := c.current()
	err := jitney.ErrInUse
	if r != nil {
		err = r.write(ctx, func(v *value) {
			v.Held = &h
			if h == (jitney.Held{}) {
				v.Held = nil
			}
		})
	}
	if err != nil {
		return fmt.Errorf("natsjournal: hold %s: %w", c.d.Name, err)
	}
	return nil
}

func (c *cursor) current() *reign {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reign
}

// Close implements [jitney.Cursor].
func (c *cursor) Close(ctx context.Context) error { return c.end(ctx, true) }

// end stores what has been settled, and gives the place up: cleanly, if nothing of it runs any more.
func (c *cursor) end(ctx context.Context, clean bool) error {
	c.mu.Lock()
	before := c.closed
	c.closed = true
	r := c.reign
	c.mu.Unlock()
	if before {
		return nil
	}
	defer c.j.release(c)
	c.die()
	close(c.stop)
	<-c.stopped // what it waits for ends with life
	if r == nil {
		return nil
	}
	err := c.giveUp(ctx, r, clean)
	c.mu.Lock()
	c.reign = nil
	c.mu.Unlock()
	r.cancel()
	<-r.read
	if err != nil && !errors.Is(err, jitney.ErrInUse) {
		return fmt.Errorf("natsjournal: close %s: %w", c.d.Name, err)
	}
	return nil
}

// giveUp frees the place. It tries until that is stored, or ctx ends.
func (c *cursor) giveUp(ctx context.Context, r *reign, clean bool) (err error) {
	for {
		err = r.write(ctx, func(v *value) {
			v.Owner = ""
			if v.Clean = clean; clean {
				v.Suspect, v.Deaths = 0, 0
			}
		})
		if err == nil || errors.Is(err, jitney.ErrInUse) || c.j.nc.IsClosed() || pause(ctx, 100*time.Millisecond) != nil {
			return err
		}
		c.j.log.Warn("natsjournal: place not freed, will try again", slog.String("subscriber", c.d.Name), slog.String("error", err.Error()))
	}
}
