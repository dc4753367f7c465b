package sqljournal

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"

	"github.com/jitney-go/jitney"
)

// Inbox returns a [jitney.Inbox] that marks an event in the same transaction as the handler's effects: in the
// handler, TxOf(ctx) is that transaction, and what the handler publishes with ctx is stored with it. It commits when
// the handler has succeeded. So what the handler does in this database happens once for each event, even if the process
// dies anywhere; the handler itself may run more often.
//
// Marks are kept for ever.
func (j *Journal) Inbox() jitney.Inbox { return inbox{j} }

type inbox struct{ j *Journal }

// Run implements [jitney.Inbox]. Duplicates that wait for each other can be a deadlock to the database, which ends one
// of them: as long as its handler has not been called, it is tried again.
func (in inbox) Run(ctx context.Context, key jitney.InboxKey, handle func(context.Context) error) error {
	for attempt := 1; ; attempt++ {
		called := false
		err := in.run(ctx, key, func(ctx context.Context) error {
			called = true
			return handle(ctx)
		})
		if err == nil || called || attempt == 20 || ctx.Err() != nil || in.j.d.Classify(err) != Busy {
			return err
		}
	}
}

func (in inbox) run(ctx context.Context, key jitney.InboxKey, handle func(context.Context) error) error {
	return in.j.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		// First of all: a duplicate that runs at the same time waits here until this transaction has ended.
		res, err := tx.ExecContext(ctx, in.j.sql(in.j.d.InsertNew(`{p}inbox`, `(subscriber, id, fingerprint) VALUES (?, ?, ?)`)),
			key.Subscriber, inboxID(key), key.Fingerprint)
		if err != nil {
			return fmt.Errorf("sqljournal: inbox: %w", because(ctx, err))
		}
		if n, err := res.RowsAffected(); err != nil {
			return fmt.Errorf("sqljournal: inbox: %w", err)
		} else if n == 0 {
			return in.marked(ctx, tx, key)
		}
		return handle(ctx)
	})
}

// marked says what there is to say of a key that is marked.
func (in inbox) marked(ctx context.Context, tx *sql.Tx, key jitney.InboxKey) error {
	var other string
	err := tx.QueryRowContext(ctx, in.j.sql(`SELECT fingerprint FROM {p}inbox WHERE subscriber = ? AND id = ?`), key.Subscriber, inboxID(key)).Scan(&other)
	switch {
	case err != nil:
		return fmt.Errorf("sqljournal: inbox: %w", err)
	case other != key.Fingerprint && other != "" && key.Fingerprint != "":
		return jitney.ErrKeyReuse
	}
	return jitney.ErrDuplicate
}

// inboxID is a key in little space: the event's ID, or the beginning of the SHA-256 of a business key.
func inboxID(key jitney.InboxKey) string {
	if key.Business == "" {
		return key.Event.String()
	}
	sum := sha256.Sum256([]byte(key.Business))
	return "key:" + hex.EncodeToString(sum[:16])
}
