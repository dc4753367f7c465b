package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/jitneytest"
	"github.com/jitney-go/jitney/sqljournal/sqlite"
	"github.com/jitney-go/jitney/wire"
)

// TestABatchAndItsMarksAreOneTransaction: and a failure in it takes back the effects of all of it, and no more.
func TestABatchAndItsMarksAreOneTransaction(t *testing.T) {
	types := wire.NewTypes()
	wire.Register[orderPlaced](types)
	j, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "journal.db"), types)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, j.Close(context.Background())) })
	exec := func(ctx context.Context, statement string, args ...any) error {
		return j.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, statement, args...)
			return err
		})
	}
	require.NoError(t, exec(t.Context(), `CREATE TABLE ledger (id TEXT, tx INTEGER)`))
	b := jitneytest.New(t, jitney.WithJournal(j))
	transactions, failed := 0, false
	s := jitney.SubscribeBatch(b, "ledger", func(ctx context.Context, list []orderPlaced) error {
		transactions++
		require.NotNil(t, j.TxOf(ctx))
		errs := make([]error, len(list))
		for i, e := range list {
			require.NoError(t, exec(ctx, `INSERT INTO ledger (id, tx) VALUES (?, ?)`, e.OrderID, transactions))
			if e.OrderID == "c" && !failed {
				failed, errs[i] = true, errors.New("not yet")
			}
		}
		return &jitney.BatchError{Errs: errs}
	}, jitney.WithBatch(5, time.Hour), jitney.WithIdempotency(j.Inbox()), jitney.WithRetry(jitney.Retry{Base: time.Millisecond}))
	require.NoError(t, b.Publish(t.Context(), orderPlaced{"a", 1}, orderPlaced{"b", 2}, orderPlaced{"c", 3}, orderPlaced{"d", 4}, orderPlaced{"e", 5}))
	require.NoError(t, b.Flush(t.Context()))
	var rows, orders, first, last int
	require.NoError(t, j.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT COUNT(*), COUNT(DISTINCT id), MIN(tx), MAX(tx) FROM ledger`).Scan(&rows, &orders, &first, &last)
	}))
	assert.Equal(t, [2]int{5, 5}, [2]int{rows, orders}, "each effect once")
	assert.Greater(t, first, 1, "nothing of the batch that failed")
	assert.LessOrEqual(t, last, transactions)
	assert.EqualValues(t, 5, s.Stats().Handled)
	assert.EqualValues(t, 1, s.Stats().Retried)
}
