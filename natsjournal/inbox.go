package natsjournal

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/jitney-go/jitney"
)

// Inbox returns a [jitney.Inbox] in a bucket: a key for each mark. While a handler runs, its key is claimed for a lease,
// which is renewed, so that no other process runs it too. The mark is not in a transaction with what the handler does:
// if the process dies between the two, the handler runs again. Where its effects are in a database, an inbox in that
// database is the better one.
//
// Marks are kept for ever, or as long as WithInboxAge says.
func (j *Journal) Inbox() jitney.Inbox { return inbox{j} }

type inbox struct{ j *Journal }

// mark is what is stored under a key.
type mark struct {
	Format      int    `json:"format"`
	Done        bool   `json:"done,omitempty"` // or else a handler runs
	Fingerprint string `json:"fingerprint,omitempty"`
	// Renewed is how often the claim has been renewed: the revision changes with it.
	Renewed int `json:"renewed,omitempty"`
	// By is the process whose handler runs: one that was not told whether it has the claim finds it there.
	By string `json:"by,omitempty"`
}

// Run implements [jitney.Inbox].
func (in inbox) Run(ctx context.Context, key jitney.InboxKey, handle func(context.Context) error) error {
	id := inboxKey(key)
	free, err := in.alone(ctx, id)
	if err != nil {
		return fmt.Errorf("natsjournal: inbox: %w", err)
	}
	defer free()
	c := &claim{in: in, id: id, fingerprint: key.Fingerprint}
	if err := c.take(ctx); err != nil {
		if errors.Is(err, jitney.ErrDuplicate) || errors.Is(err, jitney.ErrKeyReuse) {
			return err
		}
		return fmt.Errorf("natsjournal: inbox: %w", err)
	}
	return c.run(ctx, handle)
}

// inboxKey is a key in characters that a bucket allows. A business key may be anything, and is hashed.
func inboxKey(key jitney.InboxKey) string {
	text := key.ID()
	if key.Business != "" {
		sum := sha256.Sum256([]byte(key.Business))
		text = "key-" + hex.EncodeToString(sum[:16])
	}
	return escape(key.Subscriber, false) + "." + text
}

// alone waits until no other handler runs for a key in this process, and lets none run until free is called.
func (in inbox) alone(ctx context.Context, id string) (free func(), err error) {
	mine := make(chan struct{})
	for {
		in.j.mu.Lock()
		other := in.j.claims[id]
		if other == nil {
			in.j.claims[id] = mine
		}
		in.j.mu.Unlock()
		if other == nil {
			return func() {
				in.j.mu.Lock()
				defer in.j.mu.Unlock()
				delete(in.j.claims, id)
				close(mine)
			}, nil
		}
		select {
		case <-other:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
