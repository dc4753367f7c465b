package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/jitney-go/jitney/sqljournal/internal/dbtest"
	"github.com/jitney-go/jitney/sqljournal/sqlite"
	"github.com/jitney-go/jitney/wire"
)

func TestAllThatHoldsForEachDatabase(t *testing.T) {
	dbtest.Run(t, func(t *testing.T) *dbtest.Database {
		path := filepath.Join(t.TempDir(), "journal.db")
		return &dbtest.Database{Prefix: "app_", Open: func(types *wire.Types) (dbtest.Journal, error) {
			return sqlite.Open(context.Background(), path, types)
		}}
	})
}
