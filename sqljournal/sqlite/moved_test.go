package sqlite_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
	"github.com/jitney-go/jitney/sqljournal/sqlite"
)

// What is stored in a file that nobody will find again is not acknowledged.
func TestAJournalWhoseFileIsMovedStoresNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j, err := sqlite.Open(t.Context(), path, numberedTypes(), sqljournal.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	b := jitney.New(jitney.WithJournal(j), jitney.WithLogger(slog.New(slog.DiscardHandler)))
	publish := func(n int) error { return b.Publish(t.Context(), numbered{N: n}) }
	require.NoError(t, publish(1))
	away := path + ".away"
	for _, replaced := range []bool{false, true} {
		require.NoError(t, os.Rename(path, away))
		if replaced {
			require.NoError(t, os.WriteFile(path, nil, 0o600))
		}
		require.Eventually(t, func() bool { return publish(2) != nil }, 10*time.Second, 20*time.Millisecond, "it is noticed within a second")
		err := publish(3)
		require.ErrorIs(t, err, sqlite.ErrMoved)
		require.ErrorIs(t, err, sqljournal.ErrIO)
		assert.Contains(t, err.Error(), path)
		require.NoError(t, os.Rename(away, path))
		require.NoError(t, publish(4), "it is back, and there was no need of a restart")
	}
	require.NoError(t, b.Shutdown(t.Context()))
	require.NoError(t, j.Close(t.Context()))
}

func TestAMarkThatIsMissingIsMadeAnewWithAWarning(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	var log bytes.Buffer
	for n := range 3 {
		j, err := sqlite.Open(t.Context(), path, numberedTypes(), sqljournal.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		require.NoError(t, err)
		b := jitney.New(jitney.WithJournal(j), jitney.WithLogger(slog.New(slog.DiscardHandler)))
		require.NoError(t, b.Publish(t.Context(), numbered{N: n}))
		require.NoError(t, b.Shutdown(t.Context()))
		require.NoError(t, j.Close(t.Context()))
		if n == 1 {
			assert.Empty(t, log.String())
			require.NoError(t, os.Remove(path+".mark"))
		}
	}
	assert.Contains(t, log.String(), "had no mark")
	assert.Contains(t, log.String(), "events=2")
}
