// Package place keeps account of what a durable subscriber has settled of a log whose events have rising positions. It
// is what engines have in common that keep a position and not a mark per event: they store what it says, and give what
// it lets through.
package place

import (
	"slices"

	"github.com/jitney-go/jitney"
)

// Place is the account of one subscriber, or of one partition of its log. Its methods must not be called by several
// goroutines at once.
type Place struct {
	floor   int64           // all up to here is settled, put aside, or not for it
	through int64           // all up to here has been looked at
	out     []int64         // given and above the floor, in order; the first one is not settled
	settled map[int64]bool  // of out
	ahead   map[int64]bool  // settled above the floor by an earlier process: not to be given again
	waiting map[int64]bool  // given and put aside: below the floor, perhaps, and in flight all the same
	aside   map[int64]*Note // what is put aside, or, if nil, no longer, since Changes
	changed int             // what Changes would have to tell
}

// Reason says why an event is put aside.
type Reason uint8

// Their numbers are stored.
const (
	Unknown  Reason = iota // the program could not decode it
	Replayed               // it is to be given again
	Waits                  // it waits for another attempt
	Late                   // it was being handled for so long that much had been settled meanwhile
)

// Note is what is stored of an event that is put aside.
type Note struct {
	Reason   Reason           `json:"reason"`
	Progress *jitney.Progress `json:"progress,omitempty"` // of what waits
}

// New returns the account of a subscriber that has settled all up to floor, and ahead beyond.
func New(floor int64, ahead []int64) *Place {
	p := &Place{
		floor: floor, through: floor,
		settled: make(map[int64]bool), ahead: make(map[int64]bool), waiting: make(map[int64]bool), aside: make(map[int64]*Note),
	}
	for _, pos := range ahead {
		p.ahead[pos] = true
	}
	return p
}

// Floor is the position up to which nothing will be given again, but for what is put aside.
func (p *Place) Floor() int64 { return p.floor }

// Through is how far the log has been looked at.
func (p *Place) Through() int64 { return p.through }

// Give notes that the event at pos, behind all that has been looked at, is for the subscriber. It reports whether it is
// to be given: it may have been settled by an earlier process.
func (p *Place) Give(pos int64) bool {
	p.through = pos
	if p.ahead[pos] {
		delete(p.ahead, pos)
		if len(p.out) > 0 {
			p.out, p.settled[pos] = append(p.out, pos), true
		} else {
			p.floor = pos
			p.changed++
		}
		return false
	}
	p.out = append(p.out, pos)
	p.floor = p.out[0] - 1
	return true
}

// Pass notes that up to pos nothing more is for the subscriber.
func (p *Place) Pass(pos int64) {
	p.through = max(p.through, pos)
	if len(p.out) == 0 && p.floor < p.through {
		p.floor = p.through
		p.changed++
	}
}

// GiveAside notes that what was put aside at pos is given, and reports whether it is not in flight already.
func (p *Place) GiveAside(pos int64) bool {
	if p.waiting[pos] {
		return false
	}
	p.waiting[pos] = true
	return true
}

// InFlight reports whether the event at pos has been given, and not settled.
func (p *Place) InFlight(pos int64) bool {
	_, out := slices.BinarySearch(p.out, pos)
	return p.waiting[pos] || out && !p.settled[pos]
}

// Flying returns the positions that are InFlight, in order.
func (p *Place) Flying() (list []int64) {
	for _, pos := range p.out {
		if !p.settled[pos] {
			list = append(list, pos)
		}
	}
	for pos := range p.waiting {
		list = append(list, pos)
	}
	slices.Sort(list)
	return list
}

// Settle takes what [jitney.Cursor.Settle] is told. It reports whether the event was in flight.
func (p *Place) Settle(pos int64, o jitney.Outcome) bool {
	switch {
	case !p.InFlight(pos):
		return false
	case p.waiting[pos]:
		delete(p.waiting, pos)
		if o == jitney.Settled { // or else it stays aside, as it is
			p.aside[pos] = nil
		}
	default:
		if o == jitney.Unknown {
			p.aside[pos] = &Note{Reason: Unknown}
		}
		p.settled[pos] = true
		p.rise()
		p.catchUp()
	}
	p.changed++
	return true
}

// Postpone takes what [jitney.Cursor.Postpone] is told. It reports whether the event was in flight.
func (p *Place) Postpone(pos int64, progress jitney.Progress) bool {
	if !p.InFlight(pos) {
		return false
	}
	p.putAside(pos, &Note{Waits, &progress})
	p.rise()
	p.changed++
	return true
}

func (p *Place) putAside(pos int64, n *Note) {
	if !p.waiting[pos] {
		p.waiting[pos], p.settled[pos] = true, true
	}
	p.aside[pos] = n
}

// rise moves the floor up as far as everything is settled.
func (p *Place) rise() {
	n := 0
	for n < len(p.out) && p.settled[p.out[n]] {
		delete(p.settled, p.out[n])
		n++
	}
	p.out = slices.Delete(p.out, 0, n)
	if len(p.out) == 0 {
		p.floor = p.through
	} else {
		p.floor = p.out[0] - 1
	}
}

// MaxAhead is how many settlements above the floor are kept, at most: they are stored whole each time.
const MaxAhead = 1024

// catchUp puts aside what keeps the floor far behind.
func (p *Place) catchUp() {
	n := len(p.settled) + len(p.ahead)
	if n <= MaxAhead {
		return
	}
	for _, pos := range p.out {
		if n <= MaxAhead/2 {
			break
		}
		if p.settled[pos] {
			n--
		} else {
			p.putAside(pos, &Note{Reason: Late})
		}
	}
	p.rise()
}

// Changes is what is to be stored of a Place.
type Changes struct {
	Floor int64
	Ahead []int64         // settled above it, in order
	Aside map[int64]*Note // what is put aside, or, if nil, no longer
	n     int
}

// Changed is how much has changed since Changes was called: settlements, postponements, and rises of the floor.
func (p *Place) Changed() int { return p.changed }

// Changes returns what is to be stored. What is put aside must be stored before the floor that has risen above it, and
// what is no longer, after. If that fails, Failed must be told.
func (p *Place) Changes() Changes {
	c := Changes{Floor: p.floor, Aside: p.aside, n: p.changed}
	for pos := range p.settled {
		c.Ahead = append(c.Ahead, pos)
	}
	for pos := range p.ahead {
		c.Ahead = append(c.Ahead, pos)
	}
	slices.Sort(c.Ahead)
	p.aside, p.changed = make(map[int64]*Note), 0
	return c
}

// Failed takes back changes that were not stored: the next Changes has them.
func (p *Place) Failed(c Changes) {
	for pos, n := range c.Aside {
		if _, newer := p.aside[pos]; !newer {
			p.aside[pos] = n
		}
	}
	p.changed += max(c.n, 1)
}
