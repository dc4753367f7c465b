package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"github.com/jitney-go/jitney/sqljournal"
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
	open := func(types *wire.Types, opts ...sqljournal.Option) (*sqljournal.Journal, error) {
		j, err := sqlite.Open(context.Background(), path, types, opts...)
		if err != nil {
			return nil, err
		}
		return j.Journal, nil
	}
	return &dbtest.Database{
		Prefix: "app_", Tables: "jitney_", Schema: sqlite.Schema("jitney_"), Execute: execute, OpenWith: open,
		Open: func(types *wire.Types) (*sqljournal.Journal, error) { return open(types) },
	}
}

func TestAllThatHoldsForEachDatabase(t *testing.T) { dbtest.Run(t, begin) }

func TestG23Outbox(t *testing.T) { dbtest.Outbox(t, begin) }

func TestG24EffectsOnce(t *testing.T) { dbtest.EffectsOnce(t, begin) }

func TestG25Replay(t *testing.T) { dbtest.Replay(t, begin) }

func TestG20PublishersThatGiveUpHarmNobody(t *testing.T) { dbtest.Storm(t, begin) }

func TestG23ATransactionThatIsGivenUpIsDoneOrUndone(t *testing.T) {
	dbtest.StormInTransactions(t, begin)
}

func TestG22ReadersSeeTheLogInOrder(t *testing.T) { dbtest.Readers(t, begin) }

func TestG32NothingSecretIsTold(t *testing.T) { dbtest.Secrets(t, begin) }
