package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal/sqlite"
	"github.com/jitney-go/jitney/wire"
)

type orderPlaced struct {
	OrderID string
	Cents   int64
}

func (orderPlaced) EventType() string  { return "orders.placed" }
func (p orderPlaced) EventKey() string { return p.OrderID }

// orders stands for the package of the module that publishes.
var orders struct {
	Placed func(id string, cents int64) orderPlaced
}

func init() {
	orders.Placed = func(id string, cents int64) orderPlaced { return orderPlaced{id, cents} }
}

// An order and its event are stored together, and so are the ledger's entry and the mark that the event was handled.
func Example() {
	dir, err := os.MkdirTemp("", "shop")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if err := run(context.Background(), filepath.Join(dir, "shop.db")); err != nil {
		panic(err)
	}
	// Output:
	// entries in the ledger: 1
}

func run(ctx context.Context, file string) error {
	types := wire.NewTypes()
	wire.Register[orderPlaced](types)

	j, err := sqlite.Open(ctx, file, types)
	if err != nil {
		return err
	}
	b := jitney.New(jitney.WithJournal(j), jitney.WithDeadLetters(j.DeadLetters()))

	err = j.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `CREATE TABLE orders (id TEXT PRIMARY KEY, cents INTEGER)`)
		if err == nil {
			_, err = tx.ExecContext(ctx, `CREATE TABLE ledger (id TEXT, cents INTEGER)`)
		}
		return err
	})
	if err != nil {
		return err
	}

	jitney.Subscribe(b, "ledger", func(ctx context.Context, e orderPlaced) error {
		_, err := j.TxOf(ctx).ExecContext(ctx, `INSERT INTO ledger (id, cents) VALUES (?, ?)`, e.OrderID, e.Cents)
		return err // the entry and the mark that e was handled are committed together
	}, jitney.WithIdempotency(j.Inbox()))

	err = j.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO orders (id, cents) VALUES (?, ?)`, "1", 4200); err != nil {
			return err
		}
		return b.Publish(ctx, orders.Placed("1", 4200)) // it exists if and only if tx commits
	})
	if err != nil {
		return err
	}

	if err := b.Flush(ctx); err != nil {
		return err
	}
	var n int
	err = j.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM ledger`).Scan(&n)
	})
	fmt.Println("entries in the ledger:", n)
	return errors.Join(err, b.Shutdown(ctx), j.Close(ctx))
}
