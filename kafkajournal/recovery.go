package kafkajournal

import (
	"context"
	"log/slog"
	"time"

	"github.com/jitney-go/jitney"
)

// An event whose handler kills the process would kill it again at every start. So after a death what may have been in
// flight of a partition is given one event at a time, each noted before: if the process dies again, it is known of
// which. How often is told with the entry (jitney.Entry.Crashes); the bus makes a dead letter of it in the end.

// recovery is a partition's way back after a death. It is guarded by the cursor's mu.
type recovery struct {
	left    int       // entries that may have been in flight; 0: it is over
	until   int64     // the offset where the partition ended: nothing from there on was
	suspect int64     // what was in flight at the last death, if that was known
	deaths  int       // and at how many
	last    int64     // what was given last and is not settled
	since   time.Time // when
}

// recoveryPatience is how long an entry that is neither settled nor postponed keeps the next one back: its handler may
// be slow, and the process does not die of that.
const recoveryPatience = 5 * time.Second

// arrive ends the way back where the partition ended when it was taken over.
func (r *recovery) arrive(p *partition) {
	if len(p.asides) == 0 && len(p.queue) > 0 && p.queue[0].Offset >= r.until {
		r.left = 0
	}
}

// may reports whether the next entry may be given.
func (r *recovery) may() bool { return r.last == 0 || time.Since(r.since) >= recoveryPatience }

// survive notes that the handler of what was given last has returned.
func (r *recovery) survive(behind int64) {
	if r.last == behind {
		r.last = 0
	}
}

// over reports whether the last of what was given alone was survived, so that it is not blamed for a later death.
func (r *recovery) over() bool {
	if r.left > 0 || r.last != 0 || r.suspect == 0 {
		return false
	}
	r.suspect, r.deaths = 0, 0
	return true
}

func (c *cursor) recovering() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.parts {
		if p.recovery.left > 0 {
			return true
		}
	}
	return false
}

// suspicion is an entry that is to be given when it has been noted that it is.
type suspicion struct {
	p *partition
	e jitney.Entry
}

// suspect has confirm give e. Called with mu held.
func (c *cursor) suspect(p *partition, e jitney.Entry) {
	r := &p.recovery
	r.left--
	_, behind := located(e.Position)
	deaths := 1
	if behind == r.suspect {
		deaths = r.deaths + 1
	}
	r.suspect, r.deaths = behind, deaths
	r.last, r.since = behind, time.Now()
	e.Crashes = deaths
	c.pending = &suspicion{p, e}
}

// confirm notes the entry that is pending, and returns it if its partition is still ours.
func (c *cursor) confirm(ctx context.Context) ([]jitney.Entry, error) {
	s := c.pending
	for times := 1; ; times++ {
		err := c.noteSuspect(ctx, s.p)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if times&(times-1) == 0 {
			c.j.log.Error("kafkajournal: what is in flight cannot be noted, will try again",
				slog.String("subscriber", c.name), slog.String("error", err.Error()))
		}
	}
	c.pending = nil
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.parts[s.p.number] != s.p || s.p.leaving || c.closed {
		return nil, nil
	}
	return []jitney.Entry{s.e}, nil
}

// noteSuspect notes what is in flight of p, unless it is another process's.
func (c *cursor) noteSuspect(ctx context.Context, p *partition) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	p.mark.Suspect, p.mark.Deaths = p.recovery.suspect, p.recovery.deaths
	m, ours := p.mark, c.parts[p.number] == p && !c.closed
	c.mu.Unlock()
	if !ours {
		return nil
	}
	return c.j.places.put(ctx, map[string][]byte{markKey(c.name, p.number): row(m)})
}
