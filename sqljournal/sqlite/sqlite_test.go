package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"github.com/jitney-go/jitney/sqljournal/internal/dbtest"
	"github.com/jitney-go/jitney/sqljournal/sqlite"
	"github.com/jitney-go/jitney/wire"
)

func begin(t *testing.T) *dbtest.Database {
	path := filepath.Join(t.TempDir(), "journal.db")
	execute := func(ctx context.Context, statement string) error {
		db, err := sql.Open("sqlite", path)
		if err != nil {
			return err
		}
		_, err = db.ExecContext(ctx, statement)
		return errors.Join(err, db.Close())
	}
	return &dbtest.Database{Prefix: "app_", Schema: sqlite.Schema("jitney_"), Execute: execute, Open: func(types *wire.Types) (dbtest.Journal, error) {
		return sqlite.Open(context.Background(), path, types)
	}}
}

func TestAllThatHoldsForEachDatabase(t *testing.T) { dbtest.Run(t, begin) }

func TestG23Outbox(t *testing.T) { dbtest.Outbox(t, begin) }

func TestG24EffectsOnce(t *testing.T) { dbtest.EffectsOnce(t, begin) }

func TestG25Replay(t *testing.T) { dbtest.Replay(t, begin) }
