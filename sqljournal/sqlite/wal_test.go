package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
)

// SQLite begins to move its write-ahead log into the database after a commit that makes it so many frames long, each of
// a page and 24 bytes. It is 1000 if nothing else is said.
const (
	checkpoint   = 100
	checkpointed = checkpoint * (4096 + 24)
)

// TestNobodyWhoReadsLetsTheLogGrow: SQLite can start its write-ahead log over when no transaction reads from it. A
// replay, a subscriber that catches up and one that stands still are no such transaction, however much is published
// meanwhile.
func TestNobodyWhoReadsLetsTheLogGrow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	const batches = 30
	publish := func(b *jitney.Bus, n int) {
		events := make([]jitney.Event, 100)
		for i := range events {
			events[i] = numbered{N: n*len(events) + i}
		}
		require.NoError(t, b.Publish(t.Context(), events...))
	}
	j, err := openAt(path)
	require.NoError(t, err)
	b := jitney.New(jitney.WithJournal(j))
	jitney.Subscribe(b, "again", func(context.Context, numbered) error { return nil })
	for n := range batches {
		publish(b, n)
	}
	require.NoError(t, b.Flush(t.Context()))
	require.NoError(t, b.Shutdown(t.Context()))
	require.NoError(t, j.Close(t.Context()))

	j, err = openAt(path) // what was published is not in memory now
	require.NoError(t, err)
	require.NoError(t, j.Exec(t.Context(), fmt.Sprint("PRAGMA wal_autocheckpoint = ", checkpoint)))
	largest := func() int64 {
		info, err := os.Stat(path + "-wal")
		require.NoError(t, err)
		return info.Size() // it is never cut off while the journal is open
	}
	b = jitney.New(jitney.WithJournal(j))
	over, again, late := make(chan struct{}), make(chan struct{}), make(chan struct{})
	slow := func(step chan<- struct{}) func(context.Context, numbered) error {
		return func(context.Context, numbered) error {
			select {
			case step <- struct{}{}:
			case <-over:
			}
			return nil
		}
	}
	jitney.Subscribe(b, "again", slow(again))
	jitney.Subscribe(b, "late", slow(late), jitney.WithStart(jitney.FromBeginning()))
	jitney.Subscribe(b, "stands", slow(nil), jitney.WithStart(jitney.FromBeginning()))
	until(t, func() bool {
		_, err := j.Replay(t.Context(), sqljournal.Replay{Subscriber: "again", From: jitney.FromBeginning()})
		return err == nil
	})
	const more = 60
	for n := range more {
		<-again
		<-late
		publish(b, batches+n)
	}
	require.Less(t, largest(), int64(4*checkpointed))

	reader, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	tx, err := reader.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	var count int
	require.NoError(t, tx.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM jitney_log`).Scan(&count))
	assert.Equal(t, 100*(batches+more), count)
	for n := range more {
		publish(b, batches+more+n)
	}
	assert.Greater(t, largest(), int64(4*checkpointed), "with one that does read")
	require.NoError(t, tx.Rollback())
	require.NoError(t, reader.Close())

	close(over)
	require.NoError(t, b.Shutdown(t.Context()))
	require.NoError(t, j.Close(t.Context()))
}
