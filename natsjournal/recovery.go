package natsjournal

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jitney-go/jitney"
)

// An event whose handler kills the process would kill it again at every start. So after a death a subscriber is given
// what may have been in flight one event at a time, each noted in its place before: if the process dies again, it is
// known of which. How often is told with the entry (jitney.Entry.Crashes); the bus makes a dead letter of it in the end.

// recovery is a subscriber's way back after a death.
type recovery struct {
	left    int   // entries that may have been in flight; 0: it is over
	suspect int64 // what was in flight at the last death, if that was known
	deaths  int   // and at how many
	last    int64 // what was given last
	slow    bool  // that has had its time
}

// recoveryPatience is how long an entry that is neither settled nor postponed keeps the next one back: its handler may
// be slow, and the process does not die of that.
const recoveryPatience = 5 * time.Second

// awaitLast waits until what was given last is settled, or has had its time.
func (r *reign) awaitLast(ctx context.Context) error {
	if r.recovery.last == 0 || r.recovery.slow {
		return nil
	}
	t := time.NewTimer(recoveryPatience)
	defer t.Stop()
	for r.inFlight() {
		select {
		case <-r.poke:
		case <-t.C:
			r.recovery.slow = true
			return nil
		case <-r.ctx.Done():
			return r.ctx.Err()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (r *reign) inFlight() bool {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	return r.awaited != 0 && r.awaited == r.recovery.last
}

// survived notes that the handler of an event has returned. Called with c.mu held.
func (r *reign) survived(pos int64) {
	if r.awaited == pos {
		r.awaited = 0
		r.nudge()
	}
}

// nudge has Next look again.
func (r *reign) nudge() {
	select {
	case r.poke <- struct{}{}:
	default:
	}
}

// recovered notes that the process has survived what was given last, so that it is not blamed for a later death.
func (r *reign) recovered(ctx context.Context) error {
	if r.recovery.left == 0 && r.recovery.last == 0 {
		return nil
	}
	r.recovery.left = 0 // all that had been in flight has been given
	if err := r.awaitLast(ctx); err != nil {
		return err
	}
	if r.inFlight() {
		return nil // it has had its time, and goes on
	}
	r.recovery = recovery{}
	if err := r.write(ctx, func(v *value) { v.Suspect, v.Deaths = 0, 0 }); err != nil {
		r.c.j.log.Error("natsjournal: what was survived cannot be noted",
			slog.String("subscriber", r.c.d.Name), slog.String("error", err.Error()))
	}
	return nil
}

// suspected notes that e is in flight from now on. It tries until it is noted, or ctx ends.
func (r *reign) suspected(ctx context.Context, e *jitney.Entry) error {
	c := &r.recovery
	c.left--
	c.last, c.slow = e.Position, false
	r.c.mu.Lock()
	r.awaited = e.Position
	r.c.mu.Unlock()
	deaths := 1
	if e.Position == c.suspect {
		deaths = c.deaths + 1
	}
	for times := 1; ; times++ {
		err := r.write(ctx, func(v *value) { v.Suspect, v.Deaths = e.Position, deaths })
		if err == nil {
			break
		}
		if errors.Is(err, jitney.ErrInUse) || ctx.Err() != nil || r.lost() {
			return err
		}
		if powerOfTwo(times) {
			r.c.j.log.Error("natsjournal: what is in flight cannot be noted, will try again",
				slog.String("subscriber", r.c.d.Name), slog.String("error", err.Error()))
		}
		_ = pause(ctx, 100*time.Millisecond)
	}
	e.Crashes = deaths
	return nil
}
