// Package postgres opens a journal in a PostgreSQL database, for one process or several. It brings jackc/pgx.
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
	"github.com/jitney-go/jitney/wire"
)

// Open opens the journal in the database that a URL or connection string names ("postgres://…"), and makes its tables
// if they are not there.
func Open(ctx context.Context, dsn string, types *wire.Types, opts ...sqljournal.Option) (*sqljournal.Journal, error) {
	return sqljournal.Connect(ctx, "pgx", dsn, dialect, types, opts...)
}

// OpenDB opens the journal in the application's own database. db uses pgx's driver; it stays the application's. A pool
// in transaction mode, such as pgbouncer's, will not do: the journal keeps one connection to write with.
func OpenDB(ctx context.Context, db *sql.DB, types *wire.Types, opts ...sqljournal.Option) (*sqljournal.Journal, error) {
	return sqljournal.Open(ctx, db, dialect, types, sqljournal.Hooks{}, opts...)
}

// Schema is what Open executes on an empty database.
func Schema(prefix string) string { return sqljournal.Schema(dialect, prefix) }

var dialect = &sqljournal.Dialect{
	Name: "postgres", Numbered: true, Shared: true,
	Number: "BIGINT", ID: "BYTEA", Label: "TEXT", Text: "TEXT", Bytes: "BYTEA",
	Serial: "BIGSERIAL PRIMARY KEY", Insert: "INSERT", OnConflict: " ON CONFLICT DO NOTHING",
	Begin: "BEGIN ISOLATION LEVEL READ COMMITTED", Lock: " FOR UPDATE",
	LockSchema: "LOCK TABLE {p}schema IN EXCLUSIVE MODE",
	Now:        "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
	Check:      check, Classify: classify,
}

// check looks at what decides whether a commit outlives a power failure. It has the server end a transaction of conn's
// that nothing is heard of any more: until then nobody else could publish.
func check(ctx context.Context, conn *sql.Conn, tables []string) error {
	if _, err := conn.ExecContext(ctx, "SET idle_in_transaction_session_timeout = '30s'"); err != nil {
		return err
	}
	for _, setting := range [...]string{"fsync", "full_page_writes", "synchronous_commit"} {
		var value string
		if err := conn.QueryRowContext(ctx, "SELECT current_setting($1)", setting).Scan(&value); err != nil {
			return err
		}
		if value == "off" {
			return fmt.Errorf("%w: %s is off", jitney.ErrNotDurable, setting)
		}
	}
	return logged(ctx, conn, tables)
}

// logged says which of the tables is not in the write-ahead log, and empty after a crash of the server.
func logged(ctx context.Context, conn *sql.Conn, tables []string) error {
	var table string
	err := conn.QueryRowContext(ctx, `SELECT relname FROM pg_class WHERE relpersistence <> 'p'
		AND oid IN (SELECT to_regclass(name) FROM unnest(CAST($1 AS TEXT[])) AS name) ORDER BY relname LIMIT 1`, tables).Scan(&table)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("%w: table %s is unlogged", jitney.ErrNotDurable, table)
}

func classify(err error) sqljournal.Fault {
	var e *pgconn.PgError
	switch {
	case err == nil, errors.Is(err, pgx.ErrTxCommitRollback): // a statement had failed before
		return sqljournal.Other
	case !errors.As(err, &e):
		return sqljournal.Lost
	}
	switch e.Code {
	case "23505":
		return sqljournal.Duplicate
	case "40001", "40P01", "55P03":
		return sqljournal.Busy
	case "53100":
		return sqljournal.Full
	}
	switch e.Code[:2] {
	case "08", "57", "58", "53", "XX": // connection, operator intervention, system, resources, internal
		return sqljournal.Lost
	}
	return sqljournal.Other
}
