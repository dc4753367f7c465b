package mysql_test

import (
	"context"
	"testing"
	"time"

	"github.com/jitney-go/jitney/jitneytest"
	"github.com/jitney-go/jitney/sqljournal"
	"github.com/jitney-go/jitney/sqljournal/internal/dbtest"
	"github.com/jitney-go/jitney/sqljournal/mysql"
	"github.com/jitney-go/jitney/wire"
)

var server = dbtest.Server{Driver: "mysql", Env: "JITNEY_MYSQL", DSN: "root@tcp(127.0.0.1:3306)/test"}

// at returns what opens a journal in tables of its own.
func at(t *testing.T) func(types *wire.Types) (dbtest.Journal, error) {
	dsn, prefix := server.Address(t), server.Prefix(t)
	return func(types *wire.Types) (dbtest.Journal, error) {
		return mysql.Open(context.Background(), dsn, types, sqljournal.WithPrefix(prefix), sqljournal.WithPollInterval(10*time.Millisecond))
	}
}

func TestJournalKeepsTheContract(t *testing.T) {
	jitneytest.TestJournal(t, func(t *testing.T) jitneytest.JournalStore { return &dbtest.Store{OpenJournal: at(t)} })
}
