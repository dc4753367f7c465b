package jitney

import (
	"errors"
	"fmt"
	"time"
)

// Deliveries that an earlier process had begun.

// takeUp has e go on where it was when an earlier process ended.
func (s *Subscription) takeUp(e *entry) verdict {
	p := e.progress()
	e.rare.progress = nil
	e.file = &file{attempts: p.Attempts, first: p.First, last: errors.New(p.Last.Error)}
	if p.Last.Number > 0 {
		e.file.history = []Attempt{p.Last}
	}
	return verdict{ending: held, wait: p.Left(time.Now()), kept: true}
}

// maxCrashes is how many deaths of a process in a row an event is in flight at before it is given up.
const maxCrashes = 3

// ErrCrashed is the error of an event that was in flight when the process died, several times in a row.
var ErrCrashed = errors.New("the process died while this was handled")

// condemn ends a delivery that would end the process, it seems.
func (s *Subscription) condemn(e *entry) verdict {
	now := time.Now()
	e.open().record(fmt.Errorf("%w, %d times in a row", ErrCrashed, e.crashes()), now)
	return s.die(s.bus.carried(s.life, e.env), e, ReasonCrashed, now)
}
