package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/stdlib"

	"github.com/jitney-go/jitney/sqljournal"
)

// WithNotify lets other processes know by NOTIFY when events have been committed, so that they need not wait for the
// next poll, and listens on a connection of its own for what they tell. Then the poll interval can be longer: it
// matters only while that connection is being made again. All processes should have it, or none.
//
// A transaction that notifies holds a lock of the whole server while it commits, so that those of all databases in it
// commit one after the other: it costs throughput. Those of the journal do, and the application's that publish WithTx; not those of Tx. LISTEN
// does not work through pgbouncer in transaction mode. Default: off.
func WithNotify() sqljournal.Option { return sqljournal.WithNotifier(notifier) }

var notifier = &sqljournal.Notifier{Dialect: dialect, Tell: "SELECT pg_notify('{p}log', ?)", Listen: listen}

// quiet is after how long without a notification the connection is asked whether it is alive.
const quiet = 30 * time.Second

func listen(ctx context.Context, conn *sql.Conn, prefix string, heard func(text string) error) error {
	return conn.Raw(func(c any) error {
		pg, ok := c.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("the driver is %T, and only pgx's can listen", c)
		}
		if _, err := pg.Conn().Exec(ctx, "LISTEN "+prefix+"log"); err != nil {
			return err
		}
		err := heard("")
		for err == nil {
			var text string
			if text, err = next(ctx, pg); err == nil && text != "" {
				err = heard(text)
			}
		}
		return err
	})
}

// next waits for a notification; "" if none has come for a while and the connection is alive.
func next(ctx context.Context, c *stdlib.Conn) (string, error) {
	little, cancel := context.WithTimeout(ctx, quiet)
	defer cancel()
	n, err := c.Conn().WaitForNotification(little)
	switch {
	case err == nil:
		return n.Payload, nil
	case ctx.Err() != nil || !errors.Is(little.Err(), context.DeadlineExceeded):
		return "", err
	}
	alive, cancel := context.WithTimeout(ctx, quiet)
	defer cancel()
	return "", c.Conn().Ping(alive)
}
