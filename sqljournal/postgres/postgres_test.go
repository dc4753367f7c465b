package postgres_test

import (
	"context"
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
	return &dbtest.Database{Prefix: prefix, Concurrent: true, Numbered: true, Open: func(types *wire.Types) (dbtest.Journal, error) {
		return postgres.Open(context.Background(), dsn, types, sqljournal.WithPrefix(prefix), sqljournal.WithPollInterval(10*time.Millisecond))
	}}
}

func TestAllThatHoldsForEachDatabase(t *testing.T) { dbtest.Run(t, begin) }

func TestG23Outbox(t *testing.T) { dbtest.Outbox(t, begin) }

func TestG24EffectsOnce(t *testing.T) { dbtest.EffectsOnce(t, begin) }
