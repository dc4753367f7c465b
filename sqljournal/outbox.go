package sqljournal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// How events get into the log that are published inside the application's own transaction. They are written to the
// outbox, with that transaction: they exist if and only if it commits. The committer moves what is there into the log,
// in the order in which it was written, and gives positions only then. So an event never gets a position before one
// that has been read already, however late its transaction commits; and of two transactions that excluded each other by
// a row's lock, the later one's events come later.

type txKey struct{ j *Journal }

// transaction is what a context is in.
type transaction struct {
	*sql.Tx
	ours bool // Tx has begun it, and looks into the outbox when it has committed it
}

// WithTx returns a context in which Publish is a part of tx, a transaction of the application in the journal's
// database: the events exist if and only if tx commits, and are handled after that. Subscriptions WithSync run at once,
// in tx; those WithEphemeral are told at once, although tx may not commit.
//
// The journal looks for what has been committed every poll interval; Tx, or a notifier, lets it know at once.
func (j *Journal) WithTx(ctx context.Context, tx *sql.Tx) context.Context {
	return context.WithValue(ctx, txKey{j}, transaction{tx, false})
}

// TxOf returns the transaction that ctx is in, of WithTx, Tx or an Inbox of j; nil if it is in none.
func (j *Journal) TxOf(ctx context.Context) *sql.Tx {
	return j.transactionOf(ctx).Tx
}

func (j *Journal) transactionOf(ctx context.Context) transaction {
	t, _ := ctx.Value(txKey{j}).(transaction)
	return t
}

// Tx calls f in a transaction of the journal's database, which is TxOf its context as well, and commits it if f returns
// nil. What f publishes with that context is stored with it. After jitney.ErrIndeterminate it is not known whether the
// commit has happened, for the connection was lost, or ctx has ended, while it did; after any other error it has not. If
// ctx is in a transaction already, that one goes on. In the journal's SQLite file one transaction at a time writes: while
// f has written, nobody else publishes.
func (j *Journal) Tx(ctx context.Context, f func(ctx context.Context, tx *sql.Tx) error) error {
	if tx := j.TxOf(ctx); tx != nil {
		return f(ctx, tx)
	}
	if j.isClosed() {
		return ErrClosed
	}
	if err := j.serialize(ctx); err != nil {
		return err
	}
	defer j.unserialize()
	tx, err := j.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("sqljournal: begin: %w", because(ctx, err))
	}
	defer tx.Rollback() //nolint:errcheck // after a panic, an error or runtime.Goexit; after Commit it does nothing
	if err := f(context.WithValue(ctx, txKey{j}, transaction{tx, true}), tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		j.nudge() // it may have happened
		return fmt.Errorf("sqljournal: commit: %w", j.unsure(ctx, err))
	}
	j.nudge()
	return nil
}

// unsure is the error of a transaction's Commit. database/sql has not asked for it if it says no more than that the
// transaction or its context is over; a driver that has asked wraps that.
func (j *Journal) unsure(ctx context.Context, err error) error {
	if errors.Is(err, sql.ErrTxDone) || err == ctx.Err() {
		return because(ctx, err)
	}
	if f := j.d.Classify(err); f != Lost && f != Full {
		return because(ctx, err) // the database says no
	}
	return &indeterminate{because(ctx, err)}
}

// because adds to err why ctx has ended, if it has: drivers tell no more than that.
func because(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("%w: %w", context.Cause(ctx), err)
}

// serialize waits until no other transaction of Tx is under way, where the database allows but one anyway: to wait here
// has no timeout, and takes turns.
func (j *Journal) serialize(ctx context.Context) error {
	if j.d.Shared {
		return nil
	}
	select {
	case j.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (j *Journal) unserialize() {
	if !j.d.Shared {
		<-j.turn
	}
}

// leave writes records to the outbox, in tx. Those of other transactions may come between.
func (j *Journal) leave(ctx context.Context, tx *sql.Tx, records []*record) error {
	batch := rand.Int64()
	for _, r := range records {
		_, err := tx.ExecContext(ctx, j.sql(`INSERT INTO {p}outbox (batch, parts, id, type, version, at, attributes, data, crc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`),
			batch, len(records), r.id[:], r.typ, r.version, r.at, r.attributes, r.data, int64(r.crc))
		if err != nil {
			return fmt.Errorf("sqljournal: outbox: %w", err)
		}
	}
	if err := j.tellOutbox(ctx, tx); err != nil {
		return fmt.Errorf("sqljournal: outbox: %w", err)
	}
	return nil
}

// nudge has the outbox looked at now.
func (j *Journal) nudge() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.moving = true
	j.wake()
}

// moveDue reports whether the outbox is to be looked at in this round.
func (j *Journal) moveDue() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	due := j.moving || time.Since(j.moved) >= j.poll
	if due {
		j.moving, j.moved = false, time.Now()
	}
	return due
}

// moveAgain has the outbox looked at again soon if it was not moved, however long the poll interval is.
func (j *Journal) moveAgain(err error) {
	if err == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.moved = time.Now().Add(min(j.poll, time.Second) - j.poll)
}

// outboxHas reports whether there is anything in the outbox.
func (j *Journal) outboxHas(ctx context.Context) bool {
	var pos int64
	err := j.db.QueryRowContext(ctx, j.sql(`SELECT pos FROM {p}outbox ORDER BY pos LIMIT 1`)).Scan(&pos)
	return err == nil
}
