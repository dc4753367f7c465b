package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/jitney-go/jitney/sqljournal"
	"github.com/jitney-go/jitney/sqljournal/internal/dbtest"
	"github.com/jitney-go/jitney/sqljournal/mysql"
	"github.com/jitney-go/jitney/wire"
)

var server = dbtest.Server{Driver: "mysql", Env: "JITNEY_MYSQL", DSN: "root@tcp(127.0.0.1:3306)/test"}

// begin returns tables of the test's own.
func begin(t *testing.T) *dbtest.Database { return at(server.Address(t), server.Prefix(t)) }

// at returns the tables with a prefix in the database at dsn.
func at(dsn, prefix string) *dbtest.Database {
	opts := []sqljournal.Option{
		sqljournal.WithPrefix(prefix), sqljournal.WithPollInterval(10 * time.Millisecond), sqljournal.WithLogger(slog.New(slog.DiscardHandler)),
	}
	return &dbtest.Database{
		Schema: mysql.Schema(prefix),
		Execute: func(ctx context.Context, statement string) error {
			db, err := sql.Open("mysql", dsn)
			if err != nil {
				return err
			}
			_, err = db.ExecContext(ctx, statement)
			return errors.Join(err, db.Close())
		},
		Prefix: prefix, Tables: prefix, Concurrent: true, Numbered: false,
		Open: func(types *wire.Types) (*sqljournal.Journal, error) {
			return mysql.Open(context.Background(), dsn, types, opts...)
		},
		OpenWith: func(types *wire.Types, more ...sqljournal.Option) (*sqljournal.Journal, error) {
			return mysql.Open(context.Background(), dsn, types, slices.Concat(opts, more)...)
		},
		Pool: func() (*sql.DB, error) { return sql.Open("mysql", dsn) },
		With: func(settings map[string]string) (*sql.DB, error) {
			cfg, err := driver.ParseDSN(dsn)
			if err != nil {
				return nil, err
			}
			cfg.Params = settings
			c, err := driver.NewConnector(cfg)
			if err != nil {
				return nil, err
			}
			return sql.OpenDB(c), nil
		},
		Waiting: "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT' AND trx_query LIKE ?",
		Dialled: func(dial dbtest.Dial) (*sql.DB, error) {
			cfg, err := driver.ParseDSN(dsn)
			if err != nil {
				return nil, err
			}
			cfg.DialFunc, cfg.Logger = dial, &driver.NopLogger{}
			c, err := driver.NewConnector(cfg)
			if err != nil {
				return nil, err
			}
			return sql.OpenDB(c), nil
		},
		OpenDB: func(db *sql.DB, types *wire.Types) (*sqljournal.Journal, error) {
			return mysql.OpenDB(context.Background(), db, types, append(opts, sqljournal.WithLease(time.Second))...)
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
	dbtest.LeasesByTheDatabasesClock(t, begin, func(_ *testing.T, _ *dbtest.Database, at time.Time) map[string]string {
		return map[string]string{"timestamp": fmt.Sprintf("%d.%03d", at.Unix(), at.Nanosecond()/1e6)}
	})
}

func TestG25Replay(t *testing.T) { dbtest.Replay(t, begin) }

func TestG30CrashLoopsEnd(t *testing.T) { dbtest.CrashLoop(t, begin) }

func TestG19ACutConnectionLosesNothing(t *testing.T) { dbtest.Cuts(t, begin) }

func TestG18AServerRestartUnderLoad(t *testing.T) {
	s := dbtest.OwnMariaDB(t)
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
	s := dbtest.OwnMariaDB(t)
	d := at(s.DSN, "own_")
	weak := func(name, begin, end string) dbtest.Weakness {
		return dbtest.Weakness{Name: name, Begin: d.Executing(begin), End: d.Executing(end)}
	}
	const flush, sync = "SET GLOBAL innodb_flush_log_at_trx_commit = ", "SET GLOBAL sync_binlog = "
	dbtest.NotDurable(t, d,
		weak("innodb_flush_log_at_trx_commit is 2", flush+"2", flush+"1"),
		weak("innodb_flush_log_at_trx_commit is 0", flush+"0", flush+"1"),
		weak("sync_binlog is 0", sync+"0", sync+"1"),
		weak("own_log has the engine MyISAM", "ALTER TABLE own_log ENGINE=MyISAM", "ALTER TABLE own_log ENGINE=InnoDB"),
	)
}

func TestAnAppendThatADeadlockHasUndoneIsTriedAgain(t *testing.T) { dbtest.Deadlock(t, begin, nil) }

func TestAnAppendThatWaitsTooLongIsStoredWholeOrNot(t *testing.T) {
	dbtest.LockTimeouts(t, begin, map[string]string{"innodb_lock_wait_timeout": "1"})
}
