package sqlite_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
	"github.com/jitney-go/jitney/sqljournal/sqlite"
	"github.com/jitney-go/jitney/wire"
)

func openAt(path string) (*sqlite.Journal, error) {
	return sqlite.Open(context.Background(), path, numberedTypes())
}

// killed returns the files of a journal whose process was killed with events in the write-ahead log, and how many it
// has acknowledged at least.
func killed(t *testing.T) (dir string, acked int) {
	for lifetime := 100 * time.Millisecond; ; lifetime *= 2 { // a machine with much to do needs longer to begin
		dir = t.TempDir()
		if acked = len(live(t, dir, 0, lifetime)); acked >= 50 {
			return dir, acked
		}
	}
}

// copyOf copies a journal's files into a new folder, each changed by change.
func copyOf(t *testing.T, from string, change func(name string, b []byte) []byte) (path string) {
	to := t.TempDir()
	for _, name := range []string{"journal.db", "journal.db-wal", "journal.db.mark"} {
		b, err := os.ReadFile(filepath.Join(from, name))
		require.NoError(t, err)
		if b = change(name, b); b != nil {
			require.NoError(t, os.WriteFile(filepath.Join(to, name), b, 0o600))
		}
	}
	return filepath.Join(to, "journal.db")
}

// survey says what a damaged journal has to offer: how many events, and how many that cannot be read.
func survey(t *testing.T, path string) (whole, corrupt int, err error) {
	j, err := openAt(path)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = j.Close(context.Background()) }()
	c, err := j.Open(context.Background(), jitney.Durable{Name: "survey", From: jitney.FromBeginning()})
	if err != nil {
		return 0, 0, err
	}
	end, err := j.End(context.Background())
	if err != nil {
		return 0, 0, err
	}
	next := make(map[string]int)
	for through := int64(0); through < end; {
		var entries []jitney.Entry
		if entries, through, err = c.Next(context.Background(), 1000); err != nil {
			return whole, corrupt, err
		}
		for _, e := range entries {
			if e.Err != nil {
				assert.ErrorIs(t, e.Err, sqljournal.ErrCorrupt)
				corrupt++
				continue
			}
			n := e.Envelope.Event.(numbered)
			assert.GreaterOrEqual(t, n.N, next[n.EventKey()], "what is delivered is as it was published")
			next[n.EventKey()] = n.N + 1
			whole++
		}
	}
	return whole, corrupt, nil
}

func TestG26CorruptionIsLoud(t *testing.T) {
	from, acked := killed(t)
	whole, corrupt, err := survey(t, copyOf(t, from, func(_ string, b []byte) []byte { return b }))
	require.NoError(t, err)
	require.Zero(t, corrupt)
	require.GreaterOrEqual(t, whole, acked)

	loud, harmless := 0, 0
	damage := func(what string, change func(name string, b []byte) []byte) {
		n, bad, err := survey(t, copyOf(t, from, change))
		switch {
		case err != nil:
			loud++
		case n+bad < acked:
			t.Errorf("%s: %d events of %d acknowledged, and no error", what, n+bad, acked)
		case bad > 0:
			loud++
		default:
			harmless++
		}
	}
	flip := func(file string) func(name string, b []byte) []byte {
		return func(name string, b []byte) []byte {
			if name == file {
				b[rand.IntN(len(b))] ^= 1 << rand.IntN(8)
			}
			return b
		}
	}
	cut := func(name string, b []byte) []byte {
		if name == "journal.db-wal" {
			return b[:rand.IntN(len(b))]
		}
		return b
	}
	for range 30 {
		damage("a flipped bit in the log", flip("journal.db-wal"))
		damage("a log cut off", cut)
		damage("a flipped bit in the mark", flip("journal.db.mark"))
	}
	damage("no log", func(name string, b []byte) []byte {
		if name == "journal.db-wal" {
			return nil
		}
		return b
	})
	t.Logf("%d damages: %d noticed, %d in what is not used", loud+harmless, loud, harmless)
	assert.Greater(t, loud, 30)

	// Closed as it should be, the events are in the database itself. A bit there is found when the event is read.
	clean := copyOf(t, from, func(_ string, b []byte) []byte { return b })
	j, err := openAt(clean)
	require.NoError(t, err)
	require.NoError(t, j.Close(t.Context()))
	original, err := os.ReadFile(clean)
	require.NoError(t, err)
	loud, harmless = 0, 0
	for range 80 {
		b := append([]byte(nil), original...)
		b[rand.IntN(len(b))] ^= 1 << rand.IntN(8)
		require.NoError(t, os.WriteFile(clean, b, 0o600))
		n, bad, err := survey(t, clean)
		switch {
		case err == nil && n+bad < acked:
			t.Errorf("a flipped bit in the database: %d events of %d acknowledged, and no error", n+bad, acked)
		case err != nil || bad > 0:
			loud++
		default:
			harmless++
		}
	}
	t.Logf("80 flipped bits in the database: %d noticed, %d in what is not used", loud, harmless)
}

func TestTruncationNamesBothSides(t *testing.T) {
	from := t.TempDir()
	j, err := openAt(filepath.Join(from, "journal.db"))
	require.NoError(t, err)
	b := jitney.New(jitney.WithJournal(j))
	const acked = 20 // few enough that all is in the write-ahead log
	for n := range acked {
		require.NoError(t, b.Publish(t.Context(), numbered{N: n}))
	}
	path := copyOf(t, from, func(name string, b []byte) []byte {
		if name == "journal.db-wal" {
			return nil
		}
		return b
	})
	require.NoError(t, b.Shutdown(t.Context()))
	require.NoError(t, j.Close(t.Context()))
	_, err = openAt(path)
	var truncated *sqlite.TruncatedError
	require.ErrorAs(t, err, &truncated)
	assert.EqualValues(t, acked, truncated.Acknowledged)
	assert.Zero(t, truncated.Has)
	require.NoError(t, os.Rename(path+".mark", path+".mark.lost"))
	j, err = openAt(path)
	require.NoError(t, err, "the loss was accepted")
	require.NoError(t, j.Close(t.Context()))
}

func TestG27OneOwner(t *testing.T) {
	dir := t.TempDir()
	b, j, err := workload(dir)
	require.NoError(t, err)
	_, err = openAt(filepath.Join(dir, "journal.db"))
	require.ErrorIs(t, err, jitney.ErrInUse)
	assert.Contains(t, err.Error(), fmt.Sprint("process ", os.Getpid()))

	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(out), fmt.Sprint("in use by process ", os.Getpid()))

	require.NoError(t, b.Shutdown(t.Context()))
	require.NoError(t, j.Close(t.Context()))
	j, err = openAt(filepath.Join(dir, "journal.db"))
	require.NoError(t, err)
	require.NoError(t, j.Close(t.Context()))
	live(t, dir, 1, 50*time.Millisecond)
	j, err = openAt(filepath.Join(dir, "journal.db"))
	require.NoError(t, err, "a dead owner's lock is free")
	require.NoError(t, j.Close(t.Context()))
}

func TestG28FullJournalNeedsNoRestart(t *testing.T) {
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "app.db"))
	require.NoError(t, err)
	defer db.Close()
	j, err := sqlite.OpenDB(t.Context(), db, numberedTypes())
	require.NoError(t, err)
	b := jitney.New(jitney.WithJournal(j))
	handled := 0
	jitney.Subscribe(b, "s", func(context.Context, numbered) error { handled++; return nil })

	require.NoError(t, j.Exec(t.Context(), "PRAGMA max_page_count = 60"))
	stored := 0
	for ; stored < 10_000; stored++ {
		if err = b.Publish(t.Context(), numbered{N: stored}); err != nil {
			break
		}
	}
	require.ErrorIs(t, err, sqljournal.ErrFull)
	assert.NotErrorIs(t, err, jitney.ErrIndeterminate)
	assert.Contains(t, err.Error(), "test.numbered")

	require.NoError(t, j.Exec(t.Context(), "PRAGMA max_page_count = 100000"))
	require.NoError(t, b.Publish(t.Context(), numbered{N: stored}), "space is back")
	require.NoError(t, b.Flush(t.Context()))
	assert.Equal(t, stored+1, handled, "nothing accepted is lost, and nothing refused is there")
	require.NoError(t, b.Shutdown(t.Context()))
	require.NoError(t, j.Close(t.Context()))
	require.NoError(t, db.Ping(), "the database is still the application's")
}

func TestWhatOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	require.NoError(t, os.WriteFile(target, nil, 0o600))
	link := filepath.Join(dir, "link")
	require.NoError(t, os.Symlink(target, link))
	noDatabase := filepath.Join(dir, "text")
	require.NoError(t, os.WriteFile(noDatabase, []byte("this is a letter, not a database, and long enough to be looked at"), 0o600))
	for name, c := range map[string]struct {
		path, reason string
		is           error
	}{
		"a folder that is not there": {filepath.Join(dir, "no", "journal.db"), "no such file or directory", os.ErrNotExist},
		"a folder":                   {dir, "no regular file, but d", nil},
		"below a file":               {filepath.Join(target, "journal.db"), "not a directory", nil},
		"a link":                     {link, "no regular file, but L", nil},
		"a name that is too long":    {filepath.Join(dir, strings.Repeat("n", 300)), "file name too long", nil},
		"a text":                     {noDatabase, "not a database", nil},
		"memory":                     {":memory:", "a journal is a file", jitney.ErrNotDurable},
		"no name":                    {"", "a journal is a file", jitney.ErrNotDurable},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := openAt(c.path)
			require.ErrorContains(t, err, "open "+c.path+": ")
			require.ErrorContains(t, err, c.reason)
			if c.is != nil {
				require.ErrorIs(t, err, c.is)
			}
		})
	}
	_, err := openAt(":memory:")
	require.ErrorIs(t, err, jitney.ErrNotDurable)
	_, err = sqlite.Open(t.Context(), filepath.Join(dir, "j.db"), numberedTypes(), sqljournal.WithPrefix("drop table;"))
	require.ErrorContains(t, err, "prefix")
}

func TestNewerSchemaIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j, err := openAt(path)
	require.NoError(t, err)
	require.NoError(t, j.Exec(t.Context(), "INSERT INTO jitney_schema (version) VALUES (99)"))
	require.NoError(t, j.Close(t.Context()))
	_, err = openAt(path)
	require.ErrorIs(t, err, sqljournal.ErrNewerSchema)
	assert.Contains(t, err.Error(), "99")

	gap := numberedTypes()
	wire.Upcast(gap, "nobody's", 1, func(old json.RawMessage) (json.RawMessage, error) { return old, nil })
	_, err = sqlite.Open(t.Context(), path, gap)
	require.ErrorIs(t, err, sqljournal.ErrNewerSchema)
	assert.ErrorContains(t, err, "nobody's", "together")
}

func TestBackupIsAJournal(t *testing.T) {
	dir := t.TempDir()
	j, err := openAt(filepath.Join(dir, "journal.db"))
	require.NoError(t, err)
	b := jitney.New(jitney.WithJournal(j))
	for n := range 10 {
		require.NoError(t, b.Publish(t.Context(), numbered{N: n}))
	}
	backup := filepath.Join(dir, "backup.db")
	require.NoError(t, j.Backup(t.Context(), backup))
	require.ErrorIs(t, j.Backup(t.Context(), backup), os.ErrExist)
	require.NoError(t, b.Publish(t.Context(), numbered{N: 10}))
	require.NoError(t, b.Shutdown(t.Context()))
	require.NoError(t, j.Close(t.Context()))
	whole, corrupt, err := survey(t, backup)
	require.NoError(t, err)
	assert.Equal(t, [2]int{10, 0}, [2]int{whole, corrupt})
}
