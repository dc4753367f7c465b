package jitneytest

import (
	"cmp"
	"slices"
	"time"

	"github.com/jitney-go/jitney"
)

// What follows is called with the Rehearsal's lock held.

// fill reads as much as may be given in another order.
func (c *rehearsed) fill(most int) (changed <-chan struct{}) {
	for changed == nil && len(c.pool) < c.window(most) {
		var entries []jitney.Entry
		entries, c.looked, changed = c.inner.look(c.window(most) - len(c.pool))
		c.pool = append(c.pool, entries...)
	}
	return changed
}

// through is how far it has looked and given all. At the end of the journal it is what End returns.
func (c *rehearsed) through() int64 {
	switch {
	case len(c.pool) > 0:
		return c.pool[0].Position - 1
	case c.inner.atEnd():
		return c.looked + c.r.losses
	}
	return c.looked
}

func (c *rehearsed) window(most int) int { return max(c.d.Window, most, 1) }

// pick returns where in the pool the entry is that is to be given now, or how long there is to wait for one.
func (c *rehearsed) pick(most int) (at int, left time.Duration) {
	at = -1
	before := make(map[string]bool) // keys that an earlier entry has
	now, best := time.Now(), 0.0
	for i, e := range c.pool {
		if e.Position >= c.pool[0].Position+int64(c.window(most)) {
			break
		}
		k := keyOf(e)
		if before[k] {
			continue
		}
		before[k] = true
		switch wait := c.late(e, now); {
		case wait <= 0 && !c.r.profile.PerKey:
			return i, 0
		case wait <= 0:
			if turn := c.turn(e); at < 0 || turn < best {
				at, best = i, turn
			}
		case left == 0 || wait < left:
			left = wait
		}
		if !c.r.profile.PerKey {
			break
		}
	}
	return at, left
}

func keyOf(e jitney.Entry) string {
	if e.Envelope == nil {
		return ""
	}
	return e.Envelope.Key
}

// late is how long e stays unseen.
func (c *rehearsed) late(e jitney.Entry, now time.Time) time.Duration {
	if e.Envelope == nil {
		return 0
	}
	return c.r.visible[e.Envelope.ID].Sub(now)
}

// turn says which of several entries of different keys comes first: the one with the least.
func (c *rehearsed) turn(e jitney.Entry) float64 {
	if e.Envelope == nil {
		return 0
	}
	return c.r.dice.throw(e.Envelope.ID, Overtaking, c.d.Name)
}

// lend takes an entry out of the pool, or leaves it there, to be given once more.
func (c *rehearsed) lend(at int) jitney.Entry {
	e := c.pool[at]
	e.Progress = c.inner.progress(e.Position)
	first := !c.hit[e.Position]
	c.hit[e.Position] = true
	if at > 0 && first {
		c.r.note(Overtaking, c.d.Name, e.Envelope)
	}
	if c.given[e.Position] == nil {
		c.given[e.Position] = &lent{e, ""}
	}
	if first && c.r.hits(c.r.profile.Duplicates, e.Envelope, GivenTwice, c.d.Name) {
		c.r.note(GivenTwice, c.d.Name, e.Envelope)
	} else {
		c.pool = slices.Delete(c.pool, at, at+1)
	}
	if first {
		c.given[e.Position].fate = c.fate(e.Envelope)
	}
	return e
}

// fate decides what an entry's settlement is to come to.
func (c *rehearsed) fate(env *jitney.Envelope) string {
	switch {
	case c.r.hits(c.r.profile.Takeovers, env, PlaceLost, c.d.Name):
		return PlaceLost
	case c.r.hits(c.r.profile.LostAcks, env, AckLost, c.d.Name):
		return AckLost
	}
	return ""
}

// put puts an entry back into its place.
func (c *rehearsed) put(e jitney.Entry) {
	at, _ := slices.BinarySearchFunc(c.pool, e.Position, func(e jitney.Entry, position int64) int { return cmp.Compare(e.Position, position) })
	c.pool = slices.Insert(c.pool, at, e)
}

// store stores what has been settled.
func (c *rehearsed) store() {
	for _, s := range c.keep {
		c.inner.Settle(s.entry.Position, s.outcome)
	}
	c.keep = nil
}

// forget loses what has been settled and not stored.
func (c *rehearsed) forget() {
	for _, s := range c.keep {
		c.r.note(GivenAgain, c.d.Name, s.entry.Envelope)
	}
	c.keep = nil
}
