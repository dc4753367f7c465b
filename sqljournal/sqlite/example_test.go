package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/examples/readme/orders"
	"github.com/jitney-go/jitney/sqljournal/sqlite"
	"github.com/jitney-go/jitney/wire"
)

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
	wire.Register[orders.Placed](types)

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

	jitney.Subscribe(b, "ledger", func(ctx context.Context, e orders.Placed) error {
		_, err := j.TxOf(ctx).ExecContext(ctx, `INSERT INTO ledger (id, cents) VALUES (?, ?)`, e.OrderID, e.Cents)
		return err // the entry and the mark that e was handled are committed together
	}, jitney.WithIdempotency(j.Inbox()))

	err = j.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO orders (id, cents) VALUES (?, ?)`, "1", 4200); err != nil {
			return err
		}
		return b.Publish(ctx, orders.Placed{OrderID: "1", Cents: 4200}) // it exists if and only if tx commits
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
