package jitney

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Capability is something that not every engine behind a [Journal] can do. docs/ENGINES.md has a table of them.
type Capability string

// The capabilities.
const (
	// CanBatch: the events of one Publish are stored all or none, if there are several.
	CanBatch Capability = "batch"
	// CanSchedule: Schedule and Recur.
	CanSchedule Capability = "schedule"
	// CanOrderAll: all events have one order, not those of a key alone.
	CanOrderAll Capability = "order of all"
	// CanDeduplicate: an envelope that is published again is stored once, however late that is.
	CanDeduplicate Capability = "deduplicate"
	// CanTransact: events are published in the application's own transaction, and an inbox's mark is in the handler's.
	CanTransact Capability = "transact"
	// CanReplay: a subscriber is given events again.
	CanReplay Capability = "replay"
)

// Capable is a [Journal] that says what its engine can do.
type Capable interface {
	Capabilities() []Capability
}

// Require says which of the capabilities that a program needs j does not have: call it when the journal is open, so that
// this is not found out by the first event. The error wraps errors.ErrUnsupported. A journal that is not [Capable] has
// none.
func Require(j Journal, needs ...Capability) error {
	var has []Capability
	if c, ok := j.(Capable); ok {
		has = c.Capabilities()
	}
	var missing []string
	for _, c := range needs {
		if !slices.Contains(has, c) {
			missing = append(missing, string(c))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("jitney: %T: %w: %s", j, errors.ErrUnsupported, strings.Join(missing, ", "))
}
