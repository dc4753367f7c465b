// Package mysql opens a journal in a MySQL or MariaDB database, for one process or several. It brings
// go-sql-driver/mysql. Writers to several nodes at once, as Galera allows, are not supported: their order is not one.
package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
	"github.com/jitney-go/jitney/wire"
)

// Open opens the journal in the database that a DSN of the driver's names ("user:password@tcp(host)/database"), and
// makes its tables if they are not there.
func Open(ctx context.Context, dsn string, types *wire.Types, opts ...sqljournal.Option) (*sqljournal.Journal, error) {
	return sqljournal.Connect(ctx, "mysql", dsn, dialect, types, opts...)
}

// OpenDB opens the journal in the application's own database. db uses go-sql-driver/mysql; it stays the application's.
func OpenDB(ctx context.Context, db *sql.DB, types *wire.Types, opts ...sqljournal.Option) (*sqljournal.Journal, error) {
	return sqljournal.Open(ctx, db, dialect, types, sqljournal.Hooks{}, opts...)
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

// check looks at what decides whether a commit outlives a power failure. It makes conn read what is committed, and has
// the server end a transaction of conn's that nothing is heard of any more: until then nobody else could publish. MySQL
// has no such setting, and waits until its own kernel gives the connection up.
func check(ctx context.Context, conn *sql.Conn, tables []string) error {
	if _, err := conn.ExecContext(ctx, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"); err != nil {
		return err
	}
	var e *mysql.MySQLError
	if _, err := conn.ExecContext(ctx, "SET SESSION idle_transaction_timeout = 30"); err != nil && (!errors.As(err, &e) || e.Number != 1193) {
		return err // and not that there is no such variable
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
	return transactional(ctx, conn, tables)
}

// transactional says which of the tables is another engine's than InnoDB: what is in it is not part of a commit.
func transactional(ctx context.Context, conn *sql.Conn, tables []string) error {
	names := make([]any, len(tables))
	for i, name := range tables {
		names[i] = name
	}
	var table, engine string
	query := `SELECT table_name, engine FROM information_schema.tables WHERE table_schema = DATABASE() AND engine <> 'InnoDB'
		AND table_name IN (?` + strings.Repeat(", ?", len(names)-1) + `) ORDER BY table_name LIMIT 1`
	err := conn.QueryRowContext(ctx, query, names...).Scan(&table, &engine)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("%w: table %s has the engine %s, not InnoDB", jitney.ErrNotDurable, table, engine)
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
