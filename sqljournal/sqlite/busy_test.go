package sqlite_test

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
	"github.com/jitney-go/jitney/sqljournal/sqlite"
)

// TestG19AnotherConnectionHoldsTheWriteLock: publishers wait for it, or are told that their event is not stored, and
// all goes on when it is free.
func TestG19AnotherConnectionHoldsTheWriteLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	c := contend(t, path)
	l := lockOf(t, path)

	// For less than five times the busy timeout of 5 s: whoever publishes waits.
	l.take(t)
	c.publishers.Go(func() { c.publish(t, numbered{Publisher: 4}) })
	<-time.After(20 * time.Millisecond)
	l.release(t)
	c.publishers.Wait()
	require.Len(t, c.acked, 1)

	// For longer.
	require.NoError(t, c.j.Exec(t.Context(), "PRAGMA busy_timeout = 5"))
	stop := make(chan struct{})
	for p := range 4 {
		c.publishers.Go(func() {
			for e := (numbered{Publisher: p}); ; e.N++ {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond): // the other one is to come to the lock
					c.publish(t, e)
				}
			}
		})
	}
	for range 3 {
		c.goesOn(t)
		settle := c.keep(t)
		l.take(t)
		settle()
		acked, refused, unwritten := c.progress()
		until(t, func() bool { _, r, u := c.progress(); return r >= refused+20 && u > unwritten })
		still, _, _ := c.progress()
		assert.LessOrEqual(t, still, acked+4, "what was stored before, and not known")
		l.release(t)
	}
	c.goesOn(t)
	close(stop)
	c.publishers.Wait()
	require.NoError(t, c.b.Flush(t.Context()))
	until(t, c.settled(t))
	c.check(t)
	c.close(t)

	again := contend(t, path)
	require.NoError(t, again.b.Flush(t.Context()))
	assert.Empty(t, again.handled, "all positions were stored")
	again.close(t)
	t.Logf("%d acknowledged, %d refused", len(c.acked), len(c.refused))
}

// foreign is a program that knows nothing of the journal in its database.
type foreign struct{ conn *sql.Conn }

func lockOf(t *testing.T, path string) *foreign {
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, db.Close()) })
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, conn.Close()) })
	f := &foreign{conn}
	f.exec(t, "PRAGMA busy_timeout = 30000")
	f.exec(t, "CREATE TABLE foreign_table (n INTEGER)")
	return f
}

func (f *foreign) exec(t *testing.T, statement string) {
	_, err := f.conn.ExecContext(context.Background(), statement)
	require.NoError(t, err)
}

// take takes the write lock, and writes.
func (f *foreign) take(t *testing.T) {
	f.exec(t, "BEGIN IMMEDIATE")
	f.exec(t, "INSERT INTO foreign_table (n) VALUES (1)")
}

func (f *foreign) release(t *testing.T) { f.exec(t, "COMMIT") }

// contended is a bus on a journal in an application's database, for whose write lock others come.
type contended struct {
	db         *sql.DB
	j          *sqlite.Journal
	b          *jitney.Bus
	publishers sync.WaitGroup

	mu             sync.Mutex
	log            bytes.Buffer
	acked, refused []numbered
	handled        []numbered
	gate           chan struct{} // its handler waits for this, if it is not nil
	waits          chan struct{} // closed when it does
}

func contend(t *testing.T, path string) *contended {
	c := &contended{}
	var err error
	c.db, err = sql.Open("sqlite", path+"?_pragma=busy_timeout(5)&_txlock=immediate")
	require.NoError(t, err)
	log := slog.New(slog.NewTextHandler(c, nil))
	c.j, err = sqlite.OpenDB(t.Context(), c.db, numberedTypes(), sqljournal.WithLogger(log))
	require.NoError(t, err)
	c.b = jitney.New(jitney.WithJournal(c.j), jitney.WithDeadLetters(c.j.DeadLetters()), jitney.WithLogger(log))
	jitney.Subscribe(c.b, "plain", c.handle, jitney.WithStart(jitney.FromBeginning()))
	require.NoError(t, withInbox(c.b, c.j))
	return c
}

func (c *contended) close(t *testing.T) {
	require.NoError(t, c.b.Shutdown(t.Context()))
	require.NoError(t, c.j.Close(t.Context()))
	require.NoError(t, c.db.Close())
}

// Write implements io.Writer, for a log.
func (c *contended) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.Write(p)
}

func (c *contended) handle(_ context.Context, e numbered) error {
	c.mu.Lock()
	c.handled = append(c.handled, e)
	gate := c.gate
	if gate != nil {
		c.gate = nil
		close(c.waits)
	}
	c.mu.Unlock()
	if gate != nil {
		<-gate
	}
	return nil
}

// keep keeps the handler's next event in it, until settle is called.
func (c *contended) keep(t *testing.T) (settle func()) {
	gate, waits := make(chan struct{}), make(chan struct{})
	c.mu.Lock()
	c.gate, c.waits = gate, waits
	c.mu.Unlock()
	select {
	case <-waits:
	case <-t.Context().Done():
	}
	return func() { close(gate) }
}

// publish notes what becomes of an event. An error says that it is not stored, and why.
func (c *contended) publish(t *testing.T, e numbered) {
	err := c.b.Publish(context.Background(), e)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.acked = append(c.acked, e)
		return
	}
	c.refused = append(c.refused, e)
	var refused *jitney.AppendError
	assert.ErrorAs(t, err, &refused)
	assert.ErrorIs(t, err, sqljournal.ErrIO)
	assert.NotErrorIs(t, err, jitney.ErrIndeterminate)
	assert.ErrorContains(t, err, "database is locked")
}

// progress says how many events are acknowledged and refused, and how often positions could not be stored.
func (c *contended) progress() (acked, refused, unwritten int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.acked), len(c.refused), bytes.Count(c.log.Bytes(), []byte("positions not stored"))
}

func (c *contended) goesOn(t *testing.T) {
	before, _, _ := c.progress()
	until(t, func() bool { acked, _, _ := c.progress(); return acked >= before+20 })
}

// settled reports whether the positions of all subscribers are stored.
func (c *contended) settled(t *testing.T) func() bool {
	return func() bool {
		places, err := c.j.Places(t.Context())
		return err == nil && !slices.ContainsFunc(places, func(p sqljournal.Place) bool { return !p.Done() })
	}
}

func (c *contended) check(t *testing.T) {
	stored := all(t, c.j)
	assert.Equal(t, sorted(c.acked), sorted(stored), "what was acknowledged, and nothing that was refused")
	assert.Equal(t, stored, c.handled)
	last := map[int]int{}
	for _, e := range stored {
		assert.LessOrEqual(t, last[e.Publisher], e.N, "in the order of its publisher")
		last[e.Publisher] = e.N
	}
	assert.Equal(t, sorted(stored), sorted(effects(t, c.j)), "each effect once")
	letters, err := c.j.DeadLetters().List(t.Context(), jitney.DeadLetterFilter{})
	require.NoError(t, err)
	assert.Empty(t, letters)
}

func sorted(list []numbered) []numbered {
	return slices.SortedFunc(slices.Values(list), func(a, b numbered) int {
		return cmp.Or(cmp.Compare(a.Publisher, b.Publisher), cmp.Compare(a.N, b.N))
	})
}

func until(t *testing.T, happened func() bool) {
	t.Helper()
	require.Eventually(t, happened, 30*time.Second, time.Millisecond)
}
