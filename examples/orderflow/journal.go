package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/examples/orderflow/shop"
	"github.com/jitney-go/jitney/examples/orderflow/tally"
	"github.com/jitney-go/jitney/sqljournal"
	"github.com/jitney-go/jitney/sqljournal/mysql"
	"github.com/jitney-go/jitney/sqljournal/postgres"
	"github.com/jitney-go/jitney/sqljournal/sqlite"
)

// What -journal says but for the name of a place.
const (
	inMemory  = "memory"
	temporary = "" // a SQLite file in a temporary folder
)

// store is where a run keeps its events and what its modules know. The zero value is memory.
type store struct {
	*sqljournal.Journal
	name string // as -journal has it
	sums tally.Database
	temp string // to be removed when all went well
}

// openStore opens what -journal says, and makes it if it is not there.
func openStore(ctx context.Context, name string) (s *store, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	opts := []sqljournal.Option{sqljournal.WithLease(2 * time.Second)}
	s = &store{name: name}
	if name == temporary {
		if s.temp, err = os.MkdirTemp("", "orderflow-"); err != nil {
			return nil, err
		}
		s.name = "sqlite:" + filepath.Join(s.temp, "journal.db")
	}
	scheme, rest, _ := strings.Cut(s.name, ":")
	switch scheme {
	case inMemory:
		return s, nil
	case "sqlite":
		var j *sqlite.Journal
		if j, err = sqlite.Open(ctx, rest, shop.Types(), opts...); err == nil {
			s.Journal = j.Journal
		}
	case "postgres", "postgresql":
		s.sums.Dollars, s.sums.Lock = true, " FOR UPDATE"
		s.Journal, err = postgres.Open(ctx, s.name, shop.Types(), opts...)
	case "mysql":
		s.sums.Lock, s.sums.Options = " FOR UPDATE", " ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
		var dsn string
		if dsn, err = mysqlDSN(s.name); err == nil {
			s.Journal, err = mysql.Open(ctx, dsn, shop.Types(), opts...)
		}
	default:
		err = errors.New("it is none of memory, sqlite:FILE, postgres://… and mysql://…")
	}
	if err == nil {
		s.sums.Transactions = s.Journal
		err = s.sums.Create(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("-journal %s: %w", hidden(s.name), err), s.end(ctx, true))
	}
	return s, nil
}

// mysqlDSN makes what the driver wants of a URL.
func mysqlDSN(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", errors.New("it is no URL")
	}
	c := driver.NewConfig()
	c.Net, c.Addr, c.DBName, c.User = "tcp", u.Host, strings.TrimPrefix(u.Path, "/"), u.User.Username()
	c.Passwd, _ = u.User.Password()
	return c.FormatDSN(), nil
}

// hidden is a journal's name without a password.
func hidden(name string) string {
	if u, err := url.Parse(name); err == nil {
		return u.Redacted()
	}
	return name
}

// settled waits until every subscriber has settled everything, also what another process has open: one that was killed,
// and whose places are free after the lease.
func (s *store) settled(ctx context.Context) error {
	if s.Journal == nil {
		return nil
	}
	for {
		before, err := s.End(ctx)
		if err != nil {
			return err
		}
		places, err := s.Places(ctx)
		if err != nil {
			return err
		}
		after, err := s.End(ctx) // what a handler has published meanwhile is behind it
		if err != nil {
			return err
		}
		if after == before && !slices.ContainsFunc(places, func(p sqljournal.Place) bool { return !p.Done() }) {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// equip has a shop keep in s what it is to remember.
func (s *store) equip(c *shop.Config) []jitney.Option {
	if s.Journal == nil {
		return nil
	}
	c.Sums, c.Inbox, c.Letters = s.sums.Of, s.Inbox(), s.DeadLetters()
	return []jitney.Option{jitney.WithJournal(s.Journal)}
}

// end closes s. If nothing is left to do, a temporary folder is removed.
func (s *store) end(ctx context.Context, done bool) (err error) {
	if s.Journal != nil {
		err = s.Close(ctx)
	}
	if s.temp != "" && done && err == nil {
		err = os.RemoveAll(s.temp)
	}
	return err
}
