package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
	"github.com/jitney-go/jitney/sqljournal/sqlite"
	"github.com/jitney-go/jitney/wire"
)

type orderPlaced struct {
	OrderID string
	Cents   int64
}

func (orderPlaced) EventType() string  { return "orders.placed" }
func (p orderPlaced) EventKey() string { return p.OrderID }

// A flow is told as far as it can be read, and what is damaged is named.
func TestAFlowIsReadAroundWhatIsDamaged(t *testing.T) {
	types := wire.NewTypes()
	wire.Register[orderPlaced](types)
	j, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "journal.db"), types)
	require.NoError(t, err)
	b := jitney.New(jitney.WithJournal(j))
	ctx := jitney.ContextWithCorrelation(t.Context(), "request-7")
	require.NoError(t, b.Publish(ctx, orderPlaced{"1", 1}, orderPlaced{"2", 2}, orderPlaced{"3", 3}))
	require.NoError(t, j.Exec(ctx, `UPDATE jitney_log SET data = '{}' WHERE pos = 2`))
	envs, err := j.Flow(ctx, "request-7", 10)
	require.ErrorIs(t, err, sqljournal.ErrCorrupt)
	require.ErrorContains(t, err, "position 2")
	require.Len(t, envs, 2)
	assert.Equal(t, orderPlaced{"3", 3}, envs[1].Event)
	require.NoError(t, b.Shutdown(t.Context()))
	require.NoError(t, j.Close(t.Context()))
}
