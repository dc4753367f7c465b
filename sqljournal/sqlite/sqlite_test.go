package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/jitneytest"
	"github.com/jitney-go/jitney/sqljournal/sqlite"
	"github.com/jitney-go/jitney/wire"
)

// store is a journal's file.
type store struct {
	path string
	j    *sqlite.Journal
}

func (s *store) Open(types *wire.Types) (_ jitney.Journal, err error) {
	s.j, err = sqlite.Open(context.Background(), s.path, types)
	return s.j, err
}

func (s *store) Close(bool) error { return s.j.Close(context.Background()) }

func TestJournalKeepsTheContract(t *testing.T) {
	jitneytest.TestJournal(t, func(t *testing.T) jitneytest.JournalStore {
		return &store{path: filepath.Join(t.TempDir(), "journal.db")}
	})
}
