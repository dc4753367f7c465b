package benchmarks

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/jitney-go/jitney/sqljournal"
	"github.com/jitney-go/jitney/sqljournal/mysql"
	"github.com/jitney-go/jitney/sqljournal/postgres"
	"github.com/jitney-go/jitney/sqljournal/sqlite"
	"github.com/jitney-go/jitney/wire"
)

// Stored is what is published into journals: an [Order] and a note, about 300 bytes as a row with its attributes.
type Stored struct {
	Order
	Note string
}

// EventType implements jitney.Event.
func (Stored) EventType() string { return "order.stored" }

// NewStored returns publisher's event number seq.
func NewStored(publisher int, seq int64) Stored {
	return Stored{NewOrder(publisher, seq), strings.Repeat("n", 60)}
}

func storedTypes() *wire.Types {
	ts := wire.NewTypes()
	wire.Register[Stored](ts)
	return ts
}

// Database is where journals can be.
type Database struct {
	Name   string
	driver string // of a server
	env    string // has the server's address
	local  string // if it does not
	open   func(ctx context.Context, dsn, prefix string) (*sqljournal.Journal, error)
	about  string // a query for the version
}

// SQLite is the database that is always there.
const SQLite = "SQLite"

// Databases returns all databases that journals can be in.
func Databases() []Database {
	quiet := sqljournal.WithLogger(slog.New(slog.DiscardHandler))
	return []Database{
		{Name: SQLite, driver: "sqlite", about: "SELECT sqlite_version()"},
		{
			Name: "PostgreSQL", driver: "pgx", env: "JITNEY_POSTGRES", local: "postgres://postgres@127.0.0.1:5432/test?sslmode=disable",
			about: "SELECT current_setting('server_version')",
			open: func(ctx context.Context, dsn, prefix string) (*sqljournal.Journal, error) {
				return postgres.Open(ctx, dsn, storedTypes(), sqljournal.WithPrefix(prefix), quiet)
			},
		},
		{
			Name: "MySQL", driver: "mysql", env: "JITNEY_MYSQL", local: "root@tcp(127.0.0.1:3306)/test", about: "SELECT version()",
			open: func(ctx context.Context, dsn, prefix string) (*sqljournal.Journal, error) {
				return mysql.Open(ctx, dsn, storedTypes(), sqljournal.WithPrefix(prefix), quiet)
			},
		},
	}
}

func (d Database) dsn() string {
	if d.Name == SQLite {
		return ":memory:"
	}
	if dsn := os.Getenv(d.env); dsn != "" {
		return dsn
	}
	return d.local
}

// Version asks the database for its version. An error says that it is not there.
func (d Database) Version(ctx context.Context) (version string, err error) {
	db, err := sql.Open(d.driver, d.dsn())
	if err != nil {
		return "", err
	}
	err = db.QueryRowContext(ctx, d.about).Scan(&version)
	return version, errors.Join(err, db.Close())
}

// Open opens the journal of a name: a file in the folder dir, or tables of their own on a server.
func (d Database) Open(ctx context.Context, dir, name string) (io.Closer, *sqljournal.Journal, error) {
	var j *sqljournal.Journal
	if d.Name == SQLite {
		file, err := sqlite.Open(ctx, filepath.Join(dir, name+".db"), storedTypes(), sqljournal.WithLogger(slog.New(slog.DiscardHandler)))
		if err != nil {
			return nil, nil, err
		}
		j = file.Journal
	} else {
		var err error
		if j, err = d.open(ctx, d.dsn(), prefix(name)); err != nil {
			return nil, nil, err
		}
	}
	return closer(func() error { return j.Close(ctx) }), j, nil
}

// Remove removes the journal of a name.
func (d Database) Remove(ctx context.Context, dir, name string) error {
	if d.Name == SQLite {
		files, err := filepath.Glob(filepath.Join(dir, name+".db*"))
		for _, f := range files {
			err = errors.Join(err, os.Remove(f))
		}
		return err
	}
	db, err := sql.Open(d.driver, d.dsn())
	if err != nil {
		return err
	}
	for _, table := range []string{"log", "head", "subscriber", "aside", "outbox", "inbox", "letter", "type", "schema"} {
		_, failed := db.ExecContext(ctx, fmt.Sprintf("DROP TABLE IF EXISTS %s%s", prefix(name), table))
		err = errors.Join(err, failed)
	}
	return errors.Join(err, db.Close())
}

func prefix(name string) string { return "bench_" + name + "_" }

type closer func() error

func (c closer) Close() error { return c() }
