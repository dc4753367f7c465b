package sqljournal

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney/wire"
)

// Journal implements [jitney.Journal] on a SQL database. Its methods may be called by several goroutines at once.
type Journal struct {
	db    *sql.DB
	d     *Dialect
	types *wire.Types
	log   *slog.Logger

	prefix          string
	poll            time.Duration
	lease           time.Duration // how long a place stays its owner's that says nothing
	allowNotDurable bool
	committed       func(last int64) // called after each commit with events
	check           func() error     // called before a commit, now and then
	ended           func() error     // calls Hooks.Ended, once

	recent recent

	writing    sync.Mutex // held by whoever writes
	conn       *sql.Conn
	statements map[string]*sql.Stmt
	next       int64                    // the position of the next event; 0 if that is not known, or others write too
	noted      map[TypeVersion]struct{} // that the log has had events of, as far as this process knows
	doubtful   bool                     // more may be committed than is known
	over       bool                     // nothing is written any more
	checked    time.Time                // when check has found nothing

	mu       sync.Mutex
	written  sync.Cond  // on mu; told when a cursor's settlements have been written, or not
	requests []*request // not in a commit yet
	cursors  map[string]*cursor
	ahead    map[string][2]int64 // subscribers that were ahead of the journal: what they had settled, and what it had
	closed   bool
	moving   bool      // the outbox is to be looked at now
	moved    time.Time // when it was looked at last

	fetches sync.WaitGroup // stretches of the log that are being read; none begins once closed is set

	turn chan struct{} // is full while a transaction of Tx is under way, where there can be but one

	unflushed, unmoved int // failures in a row; the committer's alone

	bell    chan struct{} // has an element when there is something to commit
	stop    chan struct{}
	stopped chan struct{}
	renewed chan struct{} // closed when no lease will be renewed any more

	notifier *Notifier     // nil without WithNotifier
	listened chan struct{} // closed when nobody listens any more
	deafen   func()        // has nobody listen any more

	token string // says whose a subscriber's place is, where several processes share a database
}

// Hooks are what the package of a database adds to a journal.
type Hooks struct {
	// Committed is called after each commit of events, with the newest position, and before their publishers know.
	Committed func(last int64)
	// Opened is called when the log can be read, with its newest position, and where to log to. Its error is Open's.
	Opened func(last int64, log *slog.Logger) error
	// Check is called before a commit, once a second at most; nothing is stored while it returns an error.
	Check func() error
	// Ended is called once, when Close has written the last of it. Its error is Close's.
	Ended func() error
}

var validPrefix = regexp.MustCompile(`^[a-z][a-z0-9_]{0,30}$`)

// Open opens the journal in db, and makes its tables if they are not there. It is called by the packages sqlite,
// postgres and mysql. db stays the caller's, who may close it in Hooks.Ended.
func Open(ctx context.Context, db *sql.DB, d *Dialect, types *wire.Types, hooks Hooks, opts ...Option) (*Journal, error) {
	j := &Journal{
		db: db, d: d, types: types, log: slog.Default(), prefix: "jitney_", poll: 200 * time.Millisecond, lease: 15 * time.Second,
		committed: hooks.Committed, check: hooks.Check, cursors: make(map[string]*cursor), noted: make(map[TypeVersion]struct{}),
		ahead: make(map[string][2]int64),
		bell:  make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{}),
		turn:    make(chan struct{}, 1),
		renewed: make(chan struct{}), token: uuid.NewString(), listened: make(chan struct{}),
	}
	listening, deafen := context.WithCancel(context.Background())
	j.deafen = deafen
	j.written.L = &j.mu
	j.recent.grown = make(chan struct{})
	j.ended = sync.OnceValue(func() error {
		if hooks.Ended == nil {
			return nil
		}
		return hooks.Ended()
	})
	for _, o := range opts {
		o(j)
	}
	if err := j.open(ctx, hooks); err != nil {
		j.deafen()
		j.abandon()
		return nil, fmt.Errorf("sqljournal: open %s: %w", d.Name, err)
	}
	go j.run()
	if d.Shared {
		go j.renew()
	} else {
		close(j.renewed)
	}
	if j.notifier != nil {
		go j.listen(listening)
	} else {
		close(j.listened)
	}
	return j, nil
}

// maxConns is how many connections Connect allows itself; a handler with an Inbox has one of them while it runs.
const maxConns = 32

// Connect is Open with a pool of the journal's own, on a database that is elsewhere; Close closes it.
func Connect(ctx context.Context, driver, dsn string, d *Dialect, types *wire.Types, opts ...Option) (*Journal, error) {
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, fmt.Errorf("sqljournal: open %s: %w", d.Name, err)
	}
	db.SetMaxOpenConns(maxConns)
	j, err := Open(ctx, db, d, types, Hooks{Ended: db.Close}, opts...)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return j, nil
}

func (j *Journal) open(ctx context.Context, hooks Hooks) error {
	if !validPrefix.MatchString(j.prefix) {
		return fmt.Errorf("prefix %q: it must be lower-case letters, digits and underscores, at most 31, a letter first", j.prefix)
	}
	switch {
	case j.db == nil:
		return errors.New("db is nil")
	case j.types == nil:
		return errors.New("types is nil: make it with wire.NewTypes, and register the events")
	}
	switch n := j.db.Stats().MaxOpenConnections; {
	case n == 1:
		return errors.New("the pool has one connection, and the journal needs two: one of them to write with")
	case n == 2 && j.notifier != nil:
		return errors.New("the pool has two connections, and the journal needs three: one to write with, and one to listen on")
	}
	if n := j.notifier; n != nil && n.Dialect != j.d {
		return fmt.Errorf("its notifier is for %s", n.Dialect.Name)
	}
	j.writing.Lock()
	defer j.writing.Unlock()
	if err := errors.Join(j.types.Check(), j.readable(ctx)); err != nil {
		return err
	}
	if err := j.migrate(ctx); err != nil {
		return err
	}
	var last int64
	if err := j.tx(ctx, func(tx *writeTx) (err error) {
		last, err = tx.newest(ctx)
		return err
	}); err != nil {
		return err
	}
	if hooks.Opened != nil {
		if err := hooks.Opened(last, j.log); err != nil {
			return err
		}
	}
	j.recent.known(last)
	return nil
}

// newest returns the position of the newest event, and an error if the next one cannot be written behind it.
func (tx *writeTx) newest(ctx context.Context) (last int64, err error) {
	if !tx.j.d.Shared { // elsewhere the lock tells whether the log can only be read
		if err := tx.exec(ctx, `UPDATE {p}head SET next = next WHERE id = 0`); err != nil {
			return 0, err
		}
	}
	next, err := tx.number(ctx, `SELECT {next}{lock}`)
	if err != nil {
		return 0, err
	}
	last, err = tx.number(ctx, `SELECT COALESCE(MAX(pos), ?) FROM {p}log`, next-1)
	if err == nil && last != next-1 {
		err = fmt.Errorf("%w: its newest event is %d, and %d is to be the next", ErrCorrupt, last, next)
	}
	return last, err
}

// End implements [jitney.Journal]. What has been committed to the outbox is moved first.
func (j *Journal) End(ctx context.Context) (int64, error) {
	if j.outboxHas(ctx) {
		if err := j.relay(ctx); err != nil {
			return 0, err
		}
	}
	if !j.d.Shared {
		_, end, _ := j.recent.from(0, 0)
		return end, nil
	}
	return j.ask(ctx)
}

// ask asks the database for the newest position.
func (j *Journal) ask(ctx context.Context) (end int64, err error) {
	ctx, cancel := j.patiently(ctx)
	defer cancel()
	return j.endBy(ctx, j.db)
}

// endBy asks the database on a connection, or on any.
func (j *Journal) endBy(ctx context.Context, by interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
},
) (end int64, err error) {
	if err := by.QueryRowContext(ctx, j.sql(`SELECT {next}`)).Scan(&end); err != nil {
		return 0, fmt.Errorf("sqljournal: end of the log: %w", err)
	}
	j.recent.known(end - 1)
	return end - 1, nil
}

// await waits until there may be newer events.
func (j *Journal) await(ctx context.Context, grown <-chan struct{}) error {
	if !j.d.Shared {
		select {
		case <-grown:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	t := time.NewTimer(j.poll)
	defer t.Stop()
	select {
	case <-grown:
		return nil
	case <-t.C:
		_, err := j.ask(ctx)
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close stores what has been settled, and ends the journal. Shut the bus down first. Whatever would write returns
// ErrClosed from then on. If ctx ends before all is written it returns its error, and may be called again to wait on.
func (j *Journal) Close(ctx context.Context) error {
	j.mu.Lock()
	if !j.closed {
		j.closed = true
		close(j.stop)
		j.deafen()
	}
	j.mu.Unlock()
	for _, done := range [...]<-chan struct{}{j.stopped, j.renewed, j.listened} {
		select {
		case <-done:
		case <-ctx.Done():
			return fmt.Errorf("sqljournal: close: %w", context.Cause(ctx))
		}
	}
	if err := j.ended(); err != nil {
		return fmt.Errorf("sqljournal: close: %w", err)
	}
	return nil
}

func (j *Journal) isClosed() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.closed
}

func (j *Journal) sql(template string) string { return j.d.sql(j.prefix, template) }

var errBadConn = driver.ErrBadConn

func isNoRows(err error) bool { return errors.Is(err, sql.ErrNoRows) }

// Exec executes a statement on the connection that the journal writes with, outside of any transaction: for what the
// package of a database adds.
func (j *Journal) Exec(ctx context.Context, statement string, args ...any) error {
	j.writing.Lock()
	defer j.writing.Unlock()
	conn, err := j.writer(ctx)
	if err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, statement, args...)
	return err
}
