// Package mysql opens a journal in a MySQL or MariaDB database, for one process or several. It brings
// go-sql-driver/mysql. Writers to several nodes at once, as Galera allows, are not supported: their order is not one.
package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/go-sql-driver/mysql"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
	"github.com/jitney-go/jitney/wire"
)

// Journal is a journal in a MySQL or MariaDB database.
type Journal struct {
	*sqljournal.Journal
	db *sql.DB // to be closed with it; nil if it is the application's
}

// maxConns is how many connections Open allows itself; a handler with an Inbox has one of them while it runs.
const maxConns = 32

// Open opens the journal in the database that a DSN of the driver's names ("user:password@tcp(host)/database"), and
// makes its tables if they are not there.
func Open(ctx context.Context, dsn string, types *wire.Types, opts ...sqljournal.Option) (*Journal, error) {
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		return nil, fmt.Errorf("mysql: open: %w", err)
	}
	db.SetMaxOpenConns(maxConns)
	j, err := OpenDB(ctx, db, types, opts...)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	j.db = db
	return j, nil
}

// OpenDB opens the journal in the application's own database. db uses go-sql-driver/mysql; it stays the application's.
func OpenDB(ctx context.Context, db *sql.DB, types *wire.Types, opts ...sqljournal.Option) (*Journal, error) {
	j, err := sqljournal.Open(ctx, db, dialect, types, sqljournal.Hooks{}, opts...)
	if err != nil {
		return nil, fmt.Errorf("mysql: %w", err)
	}
	return &Journal{Journal: j}, nil
}

// Close stores what has been settled, and closes the journal; the database too, if Open has opened it.
func (j *Journal) Close(ctx context.Context) error {
	err := j.Journal.Close(ctx)
	if j.db != nil {
		err = errors.Join(err, j.db.Close())
	}
	return err
}

// Schema is what Open executes on an empty database.
func Schema(prefix string) string { return sqljournal.Schema(dialect, prefix) }

var dialect = &sqljournal.Dialect{
	Name: "mysql", Shared: true,
	Number: "BIGINT", ID: "BINARY(16)", Label: "VARCHAR(200)", Text: "LONGTEXT", Bytes: "LONGBLOB",
	Serial: "BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY", Insert: "INSERT IGNORE",
	TableOptions: " ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
	Begin:        "START TRANSACTION", Lock: " FOR UPDATE",
	LockSchema: "SELECT GET_LOCK('{p}schema', 30)", UnlockSchema: "SELECT RELEASE_LOCK('{p}schema')",
	Now:   "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)",
	Check: check, Classify: classify,
}

// check looks at what decides whether a commit outlives a power failure. It makes conn read what is committed.
func check(ctx context.Context, conn *sql.Conn) error {
	if _, err := conn.ExecContext(ctx, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"); err != nil {
		return err
	}
	var flush, binlog, sync int
	if err := conn.QueryRowContext(ctx, "SELECT @@innodb_flush_log_at_trx_commit, @@log_bin, @@sync_binlog").Scan(&flush, &binlog, &sync); err != nil {
		return err
	}
	if flush != 1 {
		return fmt.Errorf("%w: innodb_flush_log_at_trx_commit is %d, not 1", jitney.ErrNotDurable, flush)
	}
	if binlog == 1 && sync != 1 {
		return fmt.Errorf("%w: sync_binlog is %d, not 1", jitney.ErrNotDurable, sync)
	}
	return nil
}

func classify(err error) sqljournal.Fault {
	var e *mysql.MySQLError
	switch {
	case err == nil:
		return sqljournal.Other
	case !errors.As(err, &e):
		return sqljournal.Lost
	}
	switch e.Number {
	case 1062: // ER_DUP_ENTRY
		return sqljournal.Duplicate
	case 1205, 1213: // ER_LOCK_WAIT_TIMEOUT, ER_LOCK_DEADLOCK
		return sqljournal.Busy
	case 1021, 1114: // ER_DISK_FULL, ER_RECORD_FILE_FULL
		return sqljournal.Full
	}
	return sqljournal.Other
}
