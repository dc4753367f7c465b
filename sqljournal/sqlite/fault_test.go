package sqlite_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
	"github.com/jitney-go/jitney/sqljournal/sqlite"
)

// faults is SQLite's driver with failures: the next statements that are what is asked for fail, before they are executed
// or after.
type faults struct {
	driver.Driver
	statement string
	after     bool
	left      atomic.Int32
	err       error
}

func (f *faults) Open(name string) (driver.Conn, error) {
	c, err := f.Driver.Open(name)
	if err != nil {
		return nil, err
	}
	return &faultyConn{c.(conn), f}, nil
}

// conn is what SQLite's connections can do that database/sql makes use of.
type conn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
}

type faultyConn struct {
	conn
	f *faults
}

func (c *faultyConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	exec := func() (driver.Result, error) { return c.conn.ExecContext(ctx, query, args) }
	if query != c.f.statement {
		return exec()
	}
	return c.f.exec(exec)
}

func (c *faultyConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s, err := c.conn.PrepareContext(ctx, query)
	if err != nil || query != c.f.statement {
		return s, err
	}
	return &faultyStmt{s, c.f}, nil
}

// faultyStmt is the statement that fails, prepared.
type faultyStmt struct {
	driver.Stmt
	f *faults
}

func (s *faultyStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.f.exec(func() (driver.Result, error) { return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args) })
}

// exec executes what is asked for, or lets it fail.
func (f *faults) exec(exec func() (driver.Result, error)) (driver.Result, error) {
	if f.left.Add(-1) < 0 {
		return exec()
	}
	if f.after {
		if _, err := exec(); err != nil {
			return nil, err
		}
	}
	return nil, f.err
}

// faulty opens a journal on a driver with faults.
func faulty(t *testing.T, f *faults) *sqlite.Journal {
	plain, err := sql.Open("sqlite", ":memory:")
	require.NoError(t, err)
	f.Driver = plain.Driver()
	require.NoError(t, plain.Close())
	db := sql.OpenDB(connector{f, filepath.Join(t.TempDir(), "app.db")})
	j, err := sqlite.OpenDB(t.Context(), db, numberedTypes())
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, j.Close(context.Background()))
		assert.NoError(t, db.Close())
	})
	return j
}

type connector struct {
	f    *faults
	path string
}

func (c connector) Connect(context.Context) (driver.Conn, error) { return c.f.Open(c.path) }
func (c connector) Driver() driver.Driver                        { return c.f }

func TestG19ThreeOutcomes(t *testing.T) {
	broken := errors.New("disk I/O error")
	for name, after := range map[string]bool{"it was stored": true, "it was not": false} {
		t.Run(name, func(t *testing.T) {
			f := &faults{statement: "COMMIT", after: after, err: broken}
			j := faulty(t, f)
			var sealed *jitney.Envelope
			b := jitney.New(jitney.WithJournal(j), jitney.WithPublishHook(func(_ context.Context, env *jitney.Envelope) error {
				sealed = env
				return nil
			}))
			var handled atomic.Int32
			jitney.Subscribe(b, "s", func(context.Context, numbered) error { handled.Add(1); return nil })
			f.left.Store(1)
			err := b.Publish(t.Context(), numbered{N: 1})
			require.ErrorIs(t, err, jitney.ErrIndeterminate)
			require.ErrorIs(t, err, broken)

			for range 3 {
				require.NoError(t, b.Forward(t.Context(), sealed), "to publish the same again")
			}
			require.NoError(t, b.Flush(t.Context()))
			assert.EqualValues(t, 1, handled.Load(), "stored once, and so handled once")
			require.NoError(t, b.Shutdown(t.Context()))
			assert.Len(t, all(t, j), 1)
		})
	}
	t.Run("an error before the commit", func(t *testing.T) {
		f := &faults{statement: "BEGIN IMMEDIATE", err: broken}
		j := faulty(t, f)
		b := jitney.New(jitney.WithJournal(j))
		f.left.Store(1)
		err := b.Publish(t.Context(), numbered{N: 1})
		require.ErrorIs(t, err, sqljournal.ErrIO)
		require.NotErrorIs(t, err, jitney.ErrIndeterminate)
		require.NoError(t, b.Publish(t.Context(), numbered{N: 2}), "the connection is made anew")
		require.NoError(t, b.Shutdown(t.Context()))
		assert.Equal(t, []numbered{{N: 2}}, all(t, j), "what was refused never appears")
	})
}

func TestPositionsThatCouldNotBeStoredAreStoredLater(t *testing.T) {
	f := &faults{statement: "COMMIT", err: errors.New("disk I/O error")}
	j := faulty(t, f)
	b := jitney.New(jitney.WithJournal(j))
	jitney.Subscribe(b, "s", func(context.Context, numbered) error { f.left.Store(3); return nil })
	require.NoError(t, b.Publish(t.Context(), numbered{N: 1}))
	require.NoError(t, b.Flush(t.Context()))
	for f.left.Load() > 0 {
		assert.NoError(t, t.Context().Err())
	}
	require.NoError(t, b.Shutdown(t.Context()))
	handled := false
	b = jitney.New(jitney.WithJournal(j))
	jitney.Subscribe(b, "s", func(context.Context, numbered) error { handled = true; return nil })
	require.NoError(t, b.Flush(t.Context()))
	require.NoError(t, b.Shutdown(t.Context()))
	assert.False(t, handled, "it was settled")
}

func TestG20AtomicAppend(t *testing.T) {
	j := open(t)
	good, bad := envelope(), envelope()
	bad.Headers = map[string]string{"No": ""}
	require.Error(t, j.Append(t.Context(), envelope(), bad, envelope()))
	stored := envelope()
	require.NoError(t, j.Append(t.Context(), stored))
	conflict := *stored
	conflict.Event = moved{Order: "another"}
	errs := make(chan error, 64)
	for i := range 64 { // in one commit, or a few
		env := envelope()
		if i%8 == 0 {
			other := conflict
			env = &other
		}
		go func() { errs <- j.Append(context.Background(), env) }()
	}
	failed := 0
	for range 64 {
		if err := <-errs; err != nil {
			require.ErrorIs(t, err, jitney.ErrIDConflict)
			failed++
		}
	}
	assert.Equal(t, 8, failed, "one publisher's bad event fails nobody else's")
	require.NoError(t, j.Append(t.Context(), good))
	end, err := j.End(t.Context())
	require.NoError(t, err)
	assert.EqualValues(t, 1+56+1, end)
}
