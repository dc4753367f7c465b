package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
)

// What an fsync that has failed leaves in the write-ahead log is in the kernel's memory, but perhaps never on the disk:
// a later fsync succeeds all the same. SQLite forgets such a commit for as long as its index of the log lives, and
// writes the next one over it. But the index dies with the last connection, the next one makes it anew from the log as
// the kernel shows it, and then the commit counts as done, and so does all that follows it. So the journal has a
// connection that outlives the one it writes with, and what it finds at the beginning it writes down again.

// anchor is that connection.
type anchor struct{ db *sql.DB }

// anchored returns an anchor for the database at path, which is open and in WAL mode. If found is set there was a log
// before this process opened it.
func anchored(ctx context.Context, path string, found bool) (_ *anchor, err error) {
	db, err := sql.Open("sqlite", dsn(path))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // and that one stays, as it is idle
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("anchor: %w", err), db.Close())
		}
	}()
	var tables int
	if err := db.QueryRowContext(ctx, `SELECT COUNT(*) FROM sqlite_schema`).Scan(&tables); err != nil { // it opens the log
		return nil, err
	}
	a := &anchor{db}
	if found {
		if err := a.renew(ctx, path+"-wal"); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// renew brings what is in the log into the database, and ends the log. Another connection's transaction may prevent
// that: then it stays as it is.
func (a *anchor) renew(ctx context.Context, wal string) error {
	var busy, frames, moved int
	if err := a.db.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &frames, &moved); err != nil || busy != 0 {
		return err
	}
	f, err := os.OpenFile(wal, os.O_RDWR, 0) // SQLite has no locks on it that closing it could end
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close()) // or the old log could come back
}

func (a *anchor) close() error {
	if a == nil {
		return nil
	}
	return a.db.Close()
}

// hasLog reports whether the database at path has a write-ahead log.
func hasLog(path string) bool {
	info, err := os.Stat(path + "-wal")
	return err == nil && info.Size() > 0
}
