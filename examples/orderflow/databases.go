package main

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/jitney-go/jitney/examples/orderflow/shop"
	"github.com/jitney-go/jitney/examples/orderflow/tally"
	"github.com/jitney-go/jitney/sqljournal"
	"github.com/jitney-go/jitney/sqljournal/mysql"
	"github.com/jitney-go/jitney/sqljournal/postgres"
	"github.com/jitney-go/jitney/sqljournal/sqlite"
)

// errNoDatabase says that a name is not one of a database.
var errNoDatabase = errors.New("it is none of sqlite:FILE, postgres://… and mysql://…")

// openDatabase opens a database, as a journal and for the modules' sums, and makes what is not there.
func openDatabase(ctx context.Context, name string) (j *sqljournal.Journal, sums tally.Database, err error) {
	opts := []sqljournal.Option{sqljournal.WithLease(2 * time.Second)}
	switch scheme, rest, _ := strings.Cut(name, ":"); scheme {
	case "sqlite":
		var file *sqlite.Journal
		if file, err = sqlite.Open(ctx, rest, shop.Types(), opts...); err == nil {
			j = file.Journal
		}
	case "postgres", "postgresql":
		sums.Dollars, sums.Lock = true, " FOR UPDATE"
		j, err = postgres.Open(ctx, name, shop.Types(), opts...)
	case "mysql":
		sums.Lock, sums.Options = " FOR UPDATE", " ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
		var dsn string
		if dsn, err = mysqlDSN(name); err == nil {
			j, err = mysql.Open(ctx, dsn, shop.Types(), opts...)
		}
	default:
		err = errNoDatabase
	}
	if err != nil {
		return nil, sums, err
	}
	sums.Transactions = j
	if err := sums.Create(ctx); err != nil {
		return nil, sums, errors.Join(err, j.Close(ctx))
	}
	return j, sums, nil
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
