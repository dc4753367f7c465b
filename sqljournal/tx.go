package sqljournal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jitney-go/jitney"
)

// writeTx is a transaction on the one connection that this journal writes with. It is not an *sql.Tx because SQLite
// must be told at its beginning that it will write.
type writeTx struct {
	j      *Journal
	conn   *sql.Conn
	end    int64         // the next position when this is committed, if that is known; not where several processes write
	noting []TypeVersion // noted for the first time; Journal.noted has them when this is committed
}

// writer returns the connection, made anew if it was lost. Its caller holds j.writing.
func (j *Journal) writer(ctx context.Context) (*sql.Conn, error) {
	if j.over {
		return nil, ErrClosed
	}
	if j.conn != nil {
		return j.conn, nil
	}
	conn, err := j.db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if err := j.d.Check(ctx, conn, tables(j.prefix)); err != nil && (!errors.Is(err, jitney.ErrNotDurable) || !j.allowNotDurable) {
		return nil, errors.Join(err, conn.Close())
	}
	j.conn, j.statements = conn, make(map[string]*sql.Stmt)
	return conn, nil
}

// abandon gives up the connection, of which nothing is known any more.
func (j *Journal) abandon() {
	for _, s := range j.statements {
		_ = s.Close()
	}
	if j.conn != nil {
		_ = j.conn.Raw(func(any) error { return errBadConn }) // the pool is to close it, not to keep it
		_ = j.conn.Close()
	}
	j.conn, j.statements, j.next = nil, nil, 0
}

// indeterminate is the error of a commit of which it is not known whether it happened.
type indeterminate struct{ err error }

func (e *indeterminate) Error() string   { return jitney.ErrIndeterminate.Error() + ": " + e.err.Error() }
func (e *indeterminate) Unwrap() []error { return []error{jitney.ErrIndeterminate, e.err} }

// tx calls f in a transaction and commits it. After an error of f nothing of it is stored; an error of the commit is
// an indeterminate.
func (j *Journal) tx(ctx context.Context, f func(*writeTx) error) error {
	tx, err := j.begin(ctx)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		over, cancel := j.patiently(context.WithoutCancel(ctx))
		defer cancel()
		_, failed := tx.conn.ExecContext(over, "ROLLBACK")
		if failed != nil || !j.d.Shared && j.d.Classify(err) == Lost { // a server's says at its next BEGIN that it is lost
			j.abandon() // its end is the transaction's
		}
		return err
	}
	err = tx.control(ctx, "COMMIT")
	if err == nil {
		for _, tv := range tx.noting {
			j.noted[tv] = struct{}{}
		}
		j.next = max(j.next, tx.end)
		return nil
	}
	refused := j.d.Classify(err) == Busy // it is the database that says no
	j.abandon()
	if refused {
		return err
	}
	j.doubtful = true
	return &indeterminate{err}
}

// begin begins a transaction. That the connection was cut while nobody used it is found out here, and nobody's fault:
// it is made anew, once.
func (j *Journal) begin(ctx context.Context) (*writeTx, error) {
	for attempt := 0; ; attempt++ {
		used := j.conn != nil
		conn, err := j.writer(ctx)
		if err != nil {
			return nil, err
		}
		tx := &writeTx{j: j, conn: conn}
		if err = tx.control(ctx, j.d.Begin); err == nil {
			return tx, nil
		}
		if f := j.d.Classify(err); f == Busy || f == Full {
			return nil, err
		}
		j.abandon()
		if !j.d.Shared || !used || attempt > 0 || ctx.Err() != nil {
			return nil, err
		}
	}
}

// control executes BEGIN or COMMIT, which a server need not be able to prepare.
func (tx *writeTx) control(ctx context.Context, statement string) error {
	if tx.j.d.Shared {
		_, err := tx.conn.ExecContext(ctx, statement)
		return err
	}
	return tx.exec(ctx, statement)
}

// exec executes a statement that is prepared once.
func (tx *writeTx) exec(ctx context.Context, template string, args ...any) error {
	s, err := tx.prepared(ctx, template)
	if err == nil {
		_, err = s.ExecContext(ctx, args...)
	}
	return err
}

// number returns the one number that a query finds, which is prepared once.
func (tx *writeTx) number(ctx context.Context, template string, args ...any) (n int64, err error) {
	s, err := tx.prepared(ctx, template)
	if err == nil {
		err = s.QueryRowContext(ctx, args...).Scan(&n)
	}
	return n, err
}

func (tx *writeTx) prepared(ctx context.Context, template string) (*sql.Stmt, error) {
	if s := tx.j.statements[template]; s != nil {
		return s, nil
	}
	s, err := tx.conn.PrepareContext(ctx, tx.j.sql(template))
	if err == nil {
		tx.j.statements[template] = s
	}
	return s, err
}
