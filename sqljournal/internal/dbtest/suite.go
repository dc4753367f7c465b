package dbtest

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"testing"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/jitneytest"
	"github.com/jitney-go/jitney/sqljournal"
	"github.com/jitney-go/jitney/wire"
)

// Database is where a test keeps its journal.
type Database struct {
	// Open opens the journal, again and again the same.
	Open func(types *wire.Types) (*sqljournal.Journal, error)
	// OpenWith opens it with more options.
	OpenWith func(types *wire.Types, opts ...sqljournal.Option) (*sqljournal.Journal, error)
	// OpenDB opens it in a pool that the caller has made, which is to be a short lease's: for databases with leases.
	OpenDB func(db *sql.DB, types *wire.Types) (*sqljournal.Journal, error)
	// Pool makes such a pool.
	Pool func() (*sql.DB, error)
	// With makes one whose sessions have these settings.
	With func(settings map[string]string) (*sql.DB, error)
	// Waiting counts the statements that wait for a lock and are LIKE its argument.
	Waiting string
	// Dialled makes one whose connections are made by dial.
	Dialled func(dial Dial) (*sql.DB, error)
	// Schema is the schema as plain SQL, for the journal that Open opens.
	Schema string
	// Execute executes a statement of it.
	Execute func(ctx context.Context, statement string) error
	// Prefix is what the tables of the test's own application begin with, and Tables what the journal's do.
	Prefix, Tables string
	// Concurrent says that several transactions can write at a time.
	Concurrent bool
	// Numbered says that placeholders are $1, $2 …
	Numbered bool
}

// Dial makes a connection to a server.
type Dial = func(ctx context.Context, network, addr string) (net.Conn, error)

// Counted is an event: the N-th of its key.
type Counted struct {
	Key string
	N   int
}

// EventType implements jitney.Event.
func (Counted) EventType() string { return "dbtest.counted" }

// EventKey is the key.
func (c Counted) EventKey() string { return c.Key }

func types() *wire.Types {
	ts := jitneytest.Types()
	wire.Register[Counted](ts)
	return ts
}

// Run runs all tests that hold for each database. begin returns an empty one.
func Run(t *testing.T, begin func(t *testing.T) *Database) {
	t.Run("Journal", func(t *testing.T) {
		jitneytest.TestJournal(t, func(t *testing.T) jitneytest.JournalStore { return &Store{OpenJournal: begin(t).Open} })
	})
	t.Run("DeadLetters", func(t *testing.T) {
		jitneytest.TestDeadLetterStore(t, func(t *testing.T) jitney.DeadLetterStore { return open(t, begin(t)).DeadLetters() })
	})
	t.Run("Inbox", func(t *testing.T) {
		jitneytest.TestInbox(t, func(t *testing.T) jitney.Inbox { return open(t, begin(t)).Inbox() })
	})
	t.Run("Schedule", func(t *testing.T) {
		jitneytest.TestScheduleStore(t, func(t *testing.T) jitneytest.ScheduleOpener { return &schedules{begin(t), nil} })
	})
	t.Run("ScheduleInTransaction", func(t *testing.T) { scheduleInTransaction(t, begin(t)) })
	t.Run("Timetable", func(t *testing.T) { timetable(t, begin(t)) })
	t.Run("LettersSurvive", func(t *testing.T) { lettersSurvive(t, begin(t)) })
	t.Run("Retention", func(t *testing.T) { retention(t, begin(t)) })
	t.Run("Preflight", func(t *testing.T) { preflight(t, begin(t)) })
	t.Run("Schema", func(t *testing.T) { schema(t, begin(t)) })
	t.Run("Stuck", func(t *testing.T) { stuck(t, begin(t)) })
	t.Run("Places", func(t *testing.T) { places(t, begin(t)) })
	t.Run("Flow", func(t *testing.T) { flow(t, begin(t)) })
	t.Run("Redrive", func(t *testing.T) { redrive(t, begin(t)) })
	t.Run("Closed", func(t *testing.T) { closed(t, begin(t)) })
	t.Run("Conflict", func(t *testing.T) { conflict(t, begin(t)) })
	t.Run("Ahead", func(t *testing.T) { ahead(t, begin(t), begin(t), 1, 2, 3, 4, 5) })
	t.Run("AheadInPart", func(t *testing.T) { ahead(t, begin(t), begin(t), 1, 4) })
	t.Run("OddPayloads", func(t *testing.T) { odd(t, begin(t)) })
	t.Run("OutboxDuplicates", func(t *testing.T) { outboxDuplicates(t, begin(t)) })
	t.Run("ClockSetBack", func(t *testing.T) { clockSetBack(t, begin(t)) })
}

func open(t *testing.T, d *Database) *sqljournal.Journal {
	t.Helper()
	j, err := d.Open(types())
	must(t, err)
	t.Cleanup(func() { must(t, j.Close(context.Background())) })
	return j
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sql fills in a statement of the test's own application.
func (d *Database) sql(template string, args ...any) string {
	text := fmt.Sprintf(template, args...)
	if !d.Numbered {
		return text
	}
	n := 0
	var b []byte
	for i := range len(text) {
		if text[i] == '?' {
			n++
			b = fmt.Appendf(b, "$%d", n)
		} else {
			b = append(b, text[i])
		}
	}
	return string(b)
}

// items makes the application's table, a counter per key.
func (d *Database) items(t *testing.T, j *sqljournal.Journal, keys ...string) string {
	table := d.Prefix + "items"
	must(t, j.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, d.sql(`CREATE TABLE %s (k VARCHAR(50) NOT NULL PRIMARY KEY, n BIGINT NOT NULL)`, table)); err != nil {
			return err
		}
		for _, k := range keys {
			if _, err := tx.ExecContext(ctx, d.sql(`INSERT INTO %s (k, n) VALUES (?, 0)`, table), k); err != nil {
				return err
			}
		}
		return nil
	}))
	return table
}

// count adds one to a key's counter, and returns it. It holds the row until the transaction ends.
func (d *Database) count(ctx context.Context, tx *sql.Tx, table, key string) (n int, err error) {
	if _, err = tx.ExecContext(ctx, d.sql(`UPDATE %s SET n = n + 1 WHERE k = ?`, table), key); err != nil {
		return 0, err
	}
	err = tx.QueryRowContext(ctx, d.sql(`SELECT n FROM %s WHERE k = ?`, table), key).Scan(&n)
	return n, err
}
