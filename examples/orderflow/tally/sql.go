package tally

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// Transactions is the part of a journal that a module needs for its tables.
type Transactions interface {
	// TxOf returns the transaction that a handler's context is in.
	TxOf(ctx context.Context) *sql.Tx
	// Tx calls f in that transaction, or, without one, in its own.
	Tx(ctx context.Context, f func(ctx context.Context, tx *sql.Tx) error) error
}

// Database is where SQL sums are.
type Database struct {
	Transactions
	// Dollars says that placeholders are $1, $2 …; Lock stands behind a SELECT whose rows are to be kept from others, and
	// Options behind the definition of a table in which "a" is not "A".
	Dollars       bool
	Lock, Options string
}

// Create makes the table if it is not there.
func (d *Database) Create(ctx context.Context) error {
	return d.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS orderflow_sums (
	module VARCHAR(40) NOT NULL, name VARCHAR(190) NOT NULL, total BIGINT NOT NULL, PRIMARY KEY (module, name))`+d.Options)
		return err
	})
}

// Of returns a module's sums.
func (d *Database) Of(module string) Sums { return &table{d, module} }

type table struct {
	*Database
	module string
}

// Add implements [Sums].
func (t *table) Add(ctx context.Context, name string, d int64) (sum int64, err error) {
	err = t.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		row := tx.QueryRowContext(ctx, t.sql(`SELECT total FROM orderflow_sums WHERE module = ? AND name = ?`+t.Lock), t.module, name)
		statement := `UPDATE orderflow_sums SET total = ? WHERE module = ? AND name = ?`
		err := row.Scan(&sum)
		if errors.Is(err, sql.ErrNoRows) {
			statement, err = `INSERT INTO orderflow_sums (total, module, name) VALUES (?, ?, ?)`, nil
		}
		if err == nil {
			sum, err = add(sum, d)
		}
		if err == nil {
			_, err = tx.ExecContext(ctx, t.sql(statement), sum, t.module, name)
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("add %d to %s/%s: %w", d, t.module, name, err)
	}
	return sum, nil
}

// All implements [Sums].
func (t *table) All(ctx context.Context) (map[string]int64, error) {
	sums := make(map[string]int64)
	err := t.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, t.sql(`SELECT name, total FROM orderflow_sums WHERE module = ?`), t.module)
		if err != nil {
			return err
		}
		defer rows.Close() //nolint:errcheck // Err tells
		for rows.Next() {
			var name string
			var total int64
			if err := rows.Scan(&name, &total); err != nil {
				return err
			}
			sums[name] = total
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("sums of %s: %w", t.module, err)
	}
	return sums, nil
}

// sql numbers the placeholders, where that is wanted.
func (d *Database) sql(statement string) string {
	if !d.Dollars {
		return statement
	}
	var b strings.Builder
	for i, part := range strings.Split(statement, "?") {
		if i > 0 {
			fmt.Fprintf(&b, "$%d", i)
		}
		b.WriteString(part)
	}
	return b.String()
}
