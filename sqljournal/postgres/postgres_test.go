package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/jitney-go/jitney/sqljournal"
	"github.com/jitney-go/jitney/sqljournal/internal/dbtest"
	"github.com/jitney-go/jitney/sqljournal/postgres"
	"github.com/jitney-go/jitney/wire"
)

var server = dbtest.Server{Driver: "pgx", Env: "JITNEY_POSTGRES", DSN: "postgres://postgres@127.0.0.1:5432/test?sslmode=disable"}

// begin returns tables of the test's own.
func begin(t *testing.T) *dbtest.Database {
	dsn, prefix := server.Address(t), server.Prefix(t)
	opts := []sqljournal.Option{
		sqljournal.WithPrefix(prefix), sqljournal.WithPollInterval(10 * time.Millisecond), sqljournal.WithLogger(slog.New(slog.DiscardHandler)),
	}
	return &dbtest.Database{
		Schema: postgres.Schema(prefix),
		Execute: func(ctx context.Context, statement string) error {
			db, err := sql.Open("pgx", dsn)
			if err != nil {
				return err
			}
			_, err = db.ExecContext(ctx, statement)
			return errors.Join(err, db.Close())
		},
		Prefix: prefix, Concurrent: true, Numbered: true,
		Open: func(types *wire.Types) (dbtest.Journal, error) {
			return postgres.Open(context.Background(), dsn, types, opts...)
		},
		Pool: func() (*sql.DB, error) { return sql.Open("pgx", dsn) },
		OpenDB: func(db *sql.DB, types *wire.Types) (dbtest.Journal, error) {
			return postgres.OpenDB(context.Background(), db, types, append(opts, sqljournal.WithLease(time.Second))...)
		},
	}
}

func TestAllThatHoldsForEachDatabase(t *testing.T) { dbtest.Run(t, begin) }

func TestG23Outbox(t *testing.T) { dbtest.Outbox(t, begin) }

func TestG24EffectsOnce(t *testing.T) { dbtest.EffectsOnce(t, begin) }

func TestASharedSubscriberIsOneProcessesAtATime(t *testing.T) { dbtest.Leases(t, begin) }

func TestG25Replay(t *testing.T) { dbtest.Replay(t, begin) }

func TestG30CrashLoopsEnd(t *testing.T) { dbtest.CrashLoop(t, begin) }
