// Package audit hears everything.
package audit

import (
	"context"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/examples/orderflow/tally"
)

// Module is the audit module.
type Module struct{ heard tally.Sums } // by type

// New returns the module.
func New(heard tally.Sums) *Module { return &Module{heard} }

// Hear handles every event there is.
func (m *Module) Hear(ctx context.Context, e jitney.Event) error {
	_, err := m.heard.Add(ctx, e.EventType(), 1)
	return err
}

// Events returns how many events there were.
func (m *Module) Events(ctx context.Context) (n int64, err error) {
	heard, err := m.heard.All(ctx)
	for _, of := range heard {
		n += of
	}
	return n, err
}
