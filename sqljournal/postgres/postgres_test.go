package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/jitney-go/jitney/sqljournal"
	"github.com/jitney-go/jitney/sqljournal/internal/dbtest"
	"github.com/jitney-go/jitney/sqljournal/postgres"
	"github.com/jitney-go/jitney/wire"
)

var server = dbtest.Server{Driver: "pgx", Env: "JITNEY_POSTGRES", DSN: "postgres://postgres@127.0.0.1:5432/test?sslmode=disable"}

// begin returns tables of the test's own.
func begin(t *testing.T) *dbtest.Database { return at(server.Address(t), server.Prefix(t)) }

// at returns the tables with a prefix in the database at dsn.
func at(dsn, prefix string) *dbtest.Database {
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
		Prefix: prefix, Tables: prefix, Concurrent: true, Numbered: true,
		Open: func(types *wire.Types) (*sqljournal.Journal, error) {
			return postgres.Open(context.Background(), dsn, types, opts...)
		},
		OpenWith: func(types *wire.Types, more ...sqljournal.Option) (*sqljournal.Journal, error) {
			return postgres.Open(context.Background(), dsn, types, slices.Concat(opts, more)...)
		},
		Pool: func() (*sql.DB, error) { return sql.Open("pgx", dsn) },
		With: func(settings map[string]string) (*sql.DB, error) {
			cfg, err := pgx.ParseConfig(dsn)
			if err != nil {
				return nil, err
			}
			maps.Copy(cfg.RuntimeParams, settings)
			return stdlib.OpenDB(*cfg), nil
		},
		Waiting: "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1",
		Dialled: func(dial dbtest.Dial) (*sql.DB, error) {
			cfg, err := pgx.ParseConfig(dsn)
			if err != nil {
				return nil, err
			}
			cfg.DialFunc = dial
			return stdlib.OpenDB(*cfg), nil
		},
		OpenDB: func(db *sql.DB, types *wire.Types) (*sqljournal.Journal, error) {
			return postgres.OpenDB(context.Background(), db, types, append(opts, sqljournal.WithLease(time.Second))...)
		},
	}
}

func TestMain(m *testing.M) {
	dbtest.RelayChild(at)
	os.Exit(m.Run())
}

func TestAllThatHoldsForEachDatabase(t *testing.T) { dbtest.Run(t, begin) }

func TestG23Outbox(t *testing.T) { dbtest.Outbox(t, begin) }

func TestG23ARelayThatIsKilledLosesNothing(t *testing.T) {
	dbtest.RelayKills(t, begin(t), server.Address(t))
}

func TestG24EffectsOnce(t *testing.T) { dbtest.EffectsOnce(t, begin) }

func TestASharedSubscriberIsOneProcessesAtATime(t *testing.T) { dbtest.Leases(t, begin) }

func TestALeaseOfAClockThatWasAhead(t *testing.T) { dbtest.ClockSetBack(t, begin) }

func TestLeasesGoByTheDatabasesClock(t *testing.T) {
	dbtest.LeasesByTheDatabasesClock(t, begin, func(t *testing.T, d *dbtest.Database, at time.Time) map[string]string {
		schema := d.Prefix + "clock" // its function stands before the server's own
		for _, statement := range []string{
			"CREATE SCHEMA IF NOT EXISTS " + schema,
			"CREATE OR REPLACE FUNCTION " + schema + ".clock_timestamp() RETURNS timestamptz LANGUAGE sql " +
				"AS $$ SELECT to_timestamp(CAST(current_setting('jitney.now') AS double precision)) $$",
		} {
			if err := d.Execute(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		t.Cleanup(func() {
			if err := d.Execute(context.Background(), "DROP SCHEMA IF EXISTS "+schema+" CASCADE"); err != nil {
				t.Error(err)
			}
		})
		return map[string]string{"search_path": "public, " + schema + ", pg_catalog", "jitney.now": seconds(at)}
	})
}

// seconds is a time as the server takes it.
func seconds(t time.Time) string { return fmt.Sprintf("%d.%03d", t.Unix(), t.Nanosecond()/1e6) }

func TestG25Replay(t *testing.T) { dbtest.Replay(t, begin) }

func TestG30CrashLoopsEnd(t *testing.T) { dbtest.CrashLoop(t, begin) }

func TestG19ACutConnectionLosesNothing(t *testing.T) { dbtest.Cuts(t, begin) }

func TestG18AServerRestartUnderLoad(t *testing.T) {
	s := dbtest.OwnPostgres(t)
	dbtest.Restarts(t, s, at(s.DSN, "own_"))
}

func TestG21AStolenPlaceIsTakenUpAgain(t *testing.T) { dbtest.Stolen(t, begin) }

func TestG21ASilentConnectionIsGivenUp(t *testing.T) { dbtest.Silences(t, begin) }

func TestG20PublishersThatGiveUpHarmNobody(t *testing.T) { dbtest.Storm(t, begin) }

func TestG23ATransactionThatIsGivenUpIsDoneOrUndone(t *testing.T) {
	dbtest.StormInTransactions(t, begin)
}

func TestG22ReadersSeeTheLogInOrder(t *testing.T) { dbtest.Readers(t, begin) }

func TestG32NothingSecretIsTold(t *testing.T) { dbtest.Secrets(t, begin) }

func TestWhatMayLoseACommitIsRefusedByName(t *testing.T) {
	s := dbtest.OwnPostgres(t)
	d := at(s.DSN, "own_")
	off := func(setting string) dbtest.Weakness {
		return dbtest.Weakness{Name: setting + " is off", Begin: s.Restarting("-c", setting+"=off"), End: s.Restarting()}
	}
	dbtest.NotDurable(t, d,
		off("fsync"), off("full_page_writes"), off("synchronous_commit"),
		dbtest.Weakness{
			Name:  "synchronous_commit",
			Begin: d.Executing("ALTER DATABASE postgres SET synchronous_commit = off"),
			End:   d.Executing("ALTER DATABASE postgres RESET synchronous_commit"),
		},
		dbtest.Weakness{
			Name:  "own_log is unlogged",
			Begin: d.Executing("ALTER TABLE own_log SET UNLOGGED"), End: d.Executing("ALTER TABLE own_log SET LOGGED"),
		},
	)
}

func TestAnAppendThatADeadlockHasUndoneIsTriedAgain(t *testing.T) {
	dbtest.Deadlock(t, begin, map[string]string{"deadlock_timeout": "10s"})
}

func TestAnAppendThatWaitsTooLongIsStoredWholeOrNot(t *testing.T) {
	for setting, ms := range map[string]string{"statement_timeout": "2000", "lock_timeout": "500"} {
		t.Run(setting, func(t *testing.T) { dbtest.LockTimeouts(t, begin, map[string]string{setting: ms}) })
	}
}

func TestATransactionThatCannotBeSerializedPublishesNothing(t *testing.T) {
	dbtest.SerializationFailure(t, begin, map[string]string{"default_transaction_isolation": "serializable"}, func(err error) bool {
		e, is := errors.AsType[*pgconn.PgError](err)
		return is && e.Code == "40001"
	})
}
