// Package sqlite opens a journal in a SQLite file: durable, and without a server. It brings modernc.org/sqlite, which
// needs no C compiler.
//
// Beside the file NAME it keeps, as SQLite does, NAME-wal and NAME-shm, and two of its own: NAME.owner, locked for as
// long as the journal is open, and NAME.mark, which has the position of the newest event whose publisher knows that it
// is stored. SQLite alone opens without a word after it has lost commits to one flipped bit of its write-ahead log; the
// mark tells. Copy none of these files while the journal is open, and do not read them from within the process: that
// ends SQLite's own locks. Use Backup.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
	"github.com/jitney-go/jitney/wire"
)

// Journal is a journal in a SQLite file.
type Journal struct {
	*sqljournal.Journal
}

// Open opens the journal in the file at path, and makes it if it is not there; its folder must be. A second Open, by
// this process or another, gets an error that wraps [jitney.ErrInUse] and names the owner.
func Open(ctx context.Context, path string, types *wire.Types, opts ...sqljournal.Option) (*Journal, error) {
	abs, err := regular(path)
	if err != nil {
		return nil, fmt.Errorf("sqlite: open %s: %w", path, err)
	}
	db, err := sql.Open("sqlite", dsn(abs))
	if err != nil {
		return nil, fmt.Errorf("sqlite: open %s: %w", path, err)
	}
	j, err := open(ctx, db, abs, types, db.Close, opts)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sqlite: open %s: %w", path, err), db.Close())
	}
	return j, nil
}

// OpenDB opens the journal in the application's own database, beside its tables, so that one transaction can have both.
// db must be a file opened by modernc.org/sqlite; it stays the application's. The connection that the journal writes
// with is set to WAL and synchronous=FULL.
func OpenDB(ctx context.Context, db *sql.DB, types *wire.Types, opts ...sqljournal.Option) (*Journal, error) {
	if db == nil {
		return nil, errors.New("sqlite: open: db is nil")
	}
	var path string
	if err := db.QueryRowContext(ctx, `SELECT file FROM pragma_database_list WHERE name = 'main'`).Scan(&path); err != nil {
		return nil, fmt.Errorf("sqlite: open: %w", err)
	}
	if path == "" {
		return nil, fmt.Errorf("sqlite: open: %w: the database is not a file", jitney.ErrNotDurable)
	}
	j, err := open(ctx, db, path, types, func() error { return nil }, opts)
	if err != nil {
		return nil, fmt.Errorf("sqlite: open %s: %w", path, err)
	}
	return j, nil
}

func open(ctx context.Context, db *sql.DB, path string, types *wire.Types, closeDB func() error, opts []sqljournal.Option) (*Journal, error) {
	f, err := own(path)
	if err != nil {
		return nil, err
	}
	var a *anchor
	found := hasLog(path)
	opened := func(last int64, log *slog.Logger) (err error) {
		if err = f.verify(last, log); err == nil {
			a, err = anchored(ctx, path, found)
		}
		return err
	}
	ended := func() error {
		err := errors.Join(a.close(), closeDB())
		return errors.Join(err, f.close(err == nil))
	}
	j, err := sqljournal.Open(ctx, db, dialect, types, sqljournal.Hooks{Opened: opened, Committed: f.mark, Check: f.inPlace, Ended: ended}, opts...)
	if err != nil {
		return nil, errors.Join(err, a.close(), f.close(false))
	}
	return &Journal{j}, nil
}

// dsn says to SQLite which file to open, and how.
func dsn(path string) string {
	u := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path)}
	u.RawQuery = "_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate"
	return u.String()
}

// Backup writes the journal as it is at one moment, with all tables of its database, to a new file. It may be called
// while the journal is in use.
func (j *Journal) Backup(ctx context.Context, path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("sqlite: backup to %s: %w", path, os.ErrExist)
	}
	if err := j.Exec(ctx, `VACUUM INTO ?`, path); err != nil {
		return fmt.Errorf("sqlite: backup to %s: %w", path, err)
	}
	return os.Chmod(path, 0o600)
}

// regular says what is wrong with the file at path, if it is there, and makes it for the owner's eyes alone if not.
func regular(path string) (abs string, err error) {
	if path == "" || strings.Contains(path, ":memory:") {
		return "", fmt.Errorf("%w: a journal is a file", jitney.ErrNotDurable)
	}
	if abs, err = filepath.Abs(path); err != nil {
		return "", err
	}
	info, err := os.Lstat(abs)
	switch {
	case errors.Is(err, os.ErrNotExist):
		f, err := os.OpenFile(abs, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
		if err != nil {
			return "", err
		}
		return abs, f.Close()
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("it is no regular file, but %s", info.Mode())
	}
	return abs, nil
}

// Schema is what Open executes on an empty database.
func Schema(prefix string) string { return sqljournal.Schema(dialect, prefix) }

var dialect = &sqljournal.Dialect{
	Name: "sqlite", Number: "INTEGER", ID: "BLOB", Label: "TEXT", Text: "TEXT", Bytes: "BLOB",
	Serial: "INTEGER PRIMARY KEY AUTOINCREMENT", Insert: "INSERT", OnConflict: " ON CONFLICT DO NOTHING",
	Now: "0", Begin: "BEGIN IMMEDIATE", Check: check, Classify: classify,
}

// check makes conn durable, and looks whether it is.
func check(ctx context.Context, conn *sql.Conn, _ []string) error {
	for _, pragma := range [...]string{"busy_timeout = 5000", "journal_mode = WAL", "synchronous = FULL", "fullfsync = ON", "checkpoint_fullfsync = ON"} {
		if _, err := conn.ExecContext(ctx, "PRAGMA "+pragma); err != nil {
			return err
		}
	}
	var mode string
	var synchronous int
	if err := conn.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return err
	}
	if err := conn.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&synchronous); err != nil {
		return err
	}
	if !strings.EqualFold(mode, "wal") || synchronous < 2 {
		return fmt.Errorf("%w: journal_mode is %s and synchronous %d", jitney.ErrNotDurable, mode, synchronous)
	}
	return nil
}

func classify(err error) sqljournal.Fault {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return sqljournal.Other
	}
	switch e.Code() & 0xff {
	case 5, 6: // SQLITE_BUSY, SQLITE_LOCKED
		return sqljournal.Busy
	case 13: // SQLITE_FULL
		return sqljournal.Full
	case 10, 26, 11, 8: // SQLITE_IOERR, SQLITE_NOTADB, SQLITE_CORRUPT, SQLITE_READONLY
		return sqljournal.Lost // it opens a file to read if open(2) fails to open it to write, and stays with that
	case 19: // SQLITE_CONSTRAINT
		if e.Code() == 2067 || e.Code() == 1555 { // of a unique index, or a primary key
			return sqljournal.Duplicate
		}
	}
	return sqljournal.Other
}
