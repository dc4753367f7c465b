// Package audit hears everything.
package audit

import (
	"context"
	"maps"
	"sync"

	"github.com/jitney-go/jitney"
)

// Module is the audit module.
type Module struct {
	mu     sync.Mutex
	counts map[string]int
}

// New returns a module that has heard nothing yet.
func New() *Module { return &Module{counts: make(map[string]int)} }

// Hear handles every event there is.
func (m *Module) Hear(_ context.Context, e jitney.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts[e.EventType()]++
	return nil
}

// Counts returns how many events of each type there were.
func (m *Module) Counts() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.counts)
}
