package sqljournal

import (
	"context"
	"database/sql"
	"strconv"
	"time"
)

// How a process knows at once of what another one has committed, where the database can tell it. It is told in the
// transaction itself, so nobody is told of what does not commit. Nothing depends on it: what is not heard is found at the
// next poll.

// Notifier lets the processes that share a journal know of each other's commits. Package postgres has one.
type Notifier struct {
	// Dialect is the database it is for.
	Dialect *Dialect
	// Tell is a statement that tells every listener its one argument, a text, when the transaction that it is executed
	// in commits. {p} stands for the prefix of the tables.
	Tell string
	// Listen listens on conn, which it has for itself, and calls heard with each text that is told from now on, and
	// with "" when it has begun. It returns an error when it cannot go on, ctx has ended, or heard returns one.
	Listen func(ctx context.Context, conn *sql.Conn, prefix string, heard func(text string) error) error
}

// WithNotifier has other processes told of what this one commits, and listens to what they tell. It is called by the
// packages of databases that can do that. Default: the database is asked every poll interval.
func WithNotifier(n *Notifier) Option { return func(j *Journal) { j.notifier = n } }

// listenAgain is how long after a connection was lost another one is made to listen on.
const listenAgain = time.Second

// listen listens until ctx ends.
func (j *Journal) listen(ctx context.Context) {
	defer close(j.listened)
	for failed := 0; ; {
		err := j.listenOnce(ctx, func() { failed = 0 })
		if ctx.Err() != nil {
			return
		}
		j.report("sqljournal: cannot hear what other processes commit, will try again", &failed, err)
		select {
		case <-time.After(listenAgain):
		case <-ctx.Done():
			return
		}
	}
}

// listenOnce listens on one connection, for as long as that lives, and calls begun when it does.
func (j *Journal) listenOnce(ctx context.Context, begun func()) error {
	conn, err := j.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() {
		_ = conn.Raw(func(any) error { return errBadConn }) // nobody else is to have what it hears
		_ = conn.Close()
	}()
	return j.notifier.Listen(ctx, conn, j.prefix, func(text string) error {
		if text == "" {
			begun()
			j.nudge()
		}
		return j.heard(ctx, text)
	})
}

// heard looks how far the log goes, unless that is known. Whoever can connect can tell anything, so a text is but a
// hint.
func (j *Journal) heard(ctx context.Context, text string) error {
	if text == inOutbox {
		j.nudge()
		return nil
	}
	told, err := strconv.ParseInt(text, 10, 64)
	if _, end, _ := j.recent.from(0, 0); err == nil && told <= end {
		return nil
	}
	_, err = j.ask(ctx)
	return err
}

// inOutbox is told when something has been written to the outbox; otherwise it is the newest position in the log.
const inOutbox = "outbox"

// tell tells the other processes how far the log goes when this is committed.
func (tx *writeTx) tell(ctx context.Context, last int64) error {
	if tx.j.notifier == nil {
		return nil
	}
	return tx.exec(ctx, tx.j.notifier.Tell, strconv.FormatInt(last, 10))
}

// tellOutbox tells all processes to look into the outbox when tx is committed, if nobody else will know of that.
func (j *Journal) tellOutbox(ctx context.Context, tx *sql.Tx) error {
	if j.notifier == nil || j.transactionOf(ctx).ours {
		return nil
	}
	_, err := tx.ExecContext(ctx, j.sql(j.notifier.Tell), inOutbox)
	return err
}
