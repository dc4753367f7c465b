// Package dbtest has what the tests of several databases have in common: where the servers are, and journals in them.
package dbtest

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
	"github.com/jitney-go/jitney/wire"
)

// Server is a database server that tests can use.
type Server struct {
	Driver string
	Env    string // the variable that has the DSN
	DSN    string // if it has not
}

// Address returns the server's DSN, or skips the test if it cannot be reached.
func (s Server) Address(t testing.TB) string {
	t.Helper()
	dsn := s.DSN
	if other := os.Getenv(s.Env); other != "" {
		dsn = other
	}
	db, err := sql.Open(s.Driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // it has been read only
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := db.PingContext(ctx); err != nil {
		t.Skipf("needs a %s server, see %s: %v", s.Driver, s.Env, err)
	}
	return dsn
}

// Prefix returns a prefix for tables that no other test has, and has them dropped at the end.
func (s Server) Prefix(t testing.TB) string {
	dsn := s.Address(t)
	prefix := fmt.Sprintf("t%08x_", rand.Uint32())
	t.Cleanup(func() {
		db, err := sql.Open(s.Driver, dsn)
		if err != nil {
			t.Error(err)
			return
		}
		defer db.Close() //nolint:errcheck // dropping tells
		for _, table := range []string{"log", "head", "subscriber", "aside", "outbox", "later", "inbox", "letter", "checkpoint", "type", "schema", "items"} {
			if _, err := db.ExecContext(context.Background(), "DROP TABLE IF EXISTS "+prefix+table); err != nil {
				t.Error(err)
			}
		}
	})
	return prefix
}

// Store is a jitneytest.JournalStore in a database.
type Store struct {
	OpenJournal func(types *wire.Types) (*sqljournal.Journal, error)
	open        *sqljournal.Journal
}

// Open implements jitneytest.JournalStore.
func (s *Store) Open(types *wire.Types) (_ jitney.Journal, err error) {
	s.open, err = s.OpenJournal(types)
	return s.open, err
}

// Close implements jitneytest.JournalStore.
func (s *Store) Close(bool) error { return s.open.Close(context.Background()) }
