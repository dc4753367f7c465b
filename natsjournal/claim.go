package natsjournal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/jitney-go/jitney"
)

// claim is a key while its handler runs.
type claim struct {
	in          inbox
	id          string
	fingerprint string

	mu       sync.Mutex // held while revision is being changed
	revision uint64
	renewed  int
}

// take claims the key, or says why its handler is not to be called. It waits for a handler in another process. A claim
// of this one's is a write that nobody has answered, or could not be freed: no handler runs for it, as alone has seen to.
func (c *claim) take(ctx context.Context) error {
	var seen uint64
	var since time.Time
	for {
		e, err := c.get(ctx)
		var m mark
		switch {
		case errors.Is(err, jetstream.ErrKeyNotFound):
			c.revision = 0
			err = c.write(ctx, mark{})
		case err != nil:
		default:
			if err = json.Unmarshal(e.Value(), &m); err != nil || m.Format > format {
				return fmt.Errorf("%w: a mark", ErrCorrupt)
			}
			if m.Done {
				return c.marked(m)
			}
			if e.Revision() != seen {
				seen, since = e.Revision(), time.Now()
			}
			if m.By != c.in.j.token && time.Since(since) < c.in.j.lease {
				err = pause(ctx, max(c.in.j.lease/30, 10*time.Millisecond))
				break
			}
			c.revision = e.Revision()
			err = c.write(ctx, mark{})
		}
		switch {
		case err == nil && c.renewed > 0:
			return nil
		case err != nil && !changedMeanwhile(err):
			return because(ctx, err)
		}
	}
}

func (c *claim) get(ctx context.Context) (jetstream.KeyValueEntry, error) {
	ctx, cancel := c.in.j.patiently(ctx, patience)
	defer cancel()
	e, err := c.in.j.inbox.Get(ctx, c.id)
	return e, because(ctx, err)
}

// marked says what there is to say of a key that is marked.
func (c *claim) marked(m mark) error {
	if m.Fingerprint != c.fingerprint && m.Fingerprint != "" && c.fingerprint != "" {
		return jitney.ErrKeyReuse
	}
	return jitney.ErrDuplicate
}

// write stores m where the claim is at its revision; at none, where there is no key.
func (c *claim) write(ctx context.Context, m mark) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.renewed++
	m.Format, m.Renewed = format, c.renewed
	if !m.Done {
		m.By = c.in.j.token
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	ctx, cancel := c.in.j.patiently(ctx, patience)
	defer cancel()
	revision, err := c.in.j.inbox.Update(ctx, c.id, text, c.revision)
	if err != nil {
		c.renewed--
		return because(ctx, err)
	}
	c.revision = revision
	return nil
}

// run calls handle, and marks the key if it succeeds, or else frees it.
func (c *claim) run(ctx context.Context, handle func(context.Context) error) error {
	stop := c.renew()
	done := false
	defer func() { // also when handle panics, or ends its goroutine
		stop()
		if !done {
			c.free()
		}
	}()
	err := handle(ctx)
	if err != nil {
		return err
	}
	stop()
	done = true
	if err := c.finish(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("natsjournal: inbox: handled, but not marked: %w", err)
	}
	return nil
}

// renew renews the claim until stop is called, which may be done twice.
func (c *claim) renew() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for pause(ctx, c.in.j.lease/3) == nil {
			if err := c.write(ctx, mark{}); err != nil && ctx.Err() == nil {
				c.in.j.log.Error("natsjournal: inbox: a claim is not renewed, its event may be handled elsewhere too",
					slog.String("error", err.Error()))
			}
		}
	}()
	return func() {
		cancel()
		<-stopped
	}
}

// finish marks the key. It tries until that is stored, or cannot be, for half a minute at most.
func (c *claim) finish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := c.write(ctx, mark{Done: true, Fingerprint: c.fingerprint})
		if err == nil || ctx.Err() != nil || c.in.j.nc.IsClosed() {
			return err
		}
		if changedMeanwhile(err) {
			if done, failed := c.catchUp(ctx); failed != nil || done {
				return failed
			}
		}
		_ = pause(ctx, 50*time.Millisecond)
	}
}

// catchUp finds the revision at which the key is. A claim of another process's that has begun in spite of this one is
// replaced: the key has been handled.
func (c *claim) catchUp(ctx context.Context) (done bool, err error) {
	e, err := c.get(ctx)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		c.revision = 0
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var m mark
	if err := json.Unmarshal(e.Value(), &m); err != nil {
		return false, fmt.Errorf("%w: a mark", ErrCorrupt)
	}
	c.revision = e.Revision()
	return m.Done, nil
}

// free removes the claim; if that fails, others wait until it has run out.
func (c *claim) free() {
	ctx, cancel := context.WithTimeout(context.Background(), c.in.j.lease)
	defer cancel()
	if _, err := c.in.j.remove(ctx, c.in.j.inbox, c.id, c.revision); err != nil {
		c.in.j.log.Warn("natsjournal: inbox: a claim is not freed, it runs out", slog.String("error", err.Error()))
	}
}
