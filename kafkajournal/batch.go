package kafkajournal

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jitney-go/jitney"
)

// batches stores several events at once, each time in a transaction of its own, one after the other.
type batches struct {
	turn   chan struct{} // is full while one is under way
	client *kgo.Client   // made when it is needed, and again when it has failed; guarded by turn
	life   context.Context
	end    context.CancelFunc

	mu      sync.Mutex
	running sync.WaitGroup
}

// transactionTimeout is how long a transaction may take; then Kafka ends it. Who reads waits for it.
const transactionTimeout = 10 * time.Second

// Go calls f in a goroutine of its own.
func (b *batches) Go(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running.Go(f)
}

// await waits until all that is under way has ended.
func (b *batches) await(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// shut ends the client, and what is under way.
func (b *batches) shut() {
	b.end()
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	b.drop()
}

func (b *batches) drop() {
	if b.client != nil {
		b.client.Close()
		b.client = nil
	}
}

// storeAll stores all of drafts or none.
func (j *Journal) storeAll(drafts []*draft) error {
	b := &j.batches
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	ctx, cancel := context.WithTimeout(b.life, transactionTimeout)
	defer cancel()
	if b.client == nil {
		client, err := kgo.NewClient(j.producing(kgo.TransactionalID(j.transactionID()), kgo.TransactionTimeout(transactionTimeout))...)
		if err != nil {
			return err
		}
		b.client = client
	}
	if err := b.produce(ctx, drafts); err != nil {
		b.abort()
		return err
	}
	if err := b.client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		b.abort() // so that it is soon known
		return fmt.Errorf("%w: commit: %w", jitney.ErrIndeterminate, err)
	}
	return nil
}

func (b *batches) produce(ctx context.Context, drafts []*draft) error {
	if err := b.client.BeginTransaction(); err != nil {
		return err
	}
	records := make([]*kgo.Record, len(drafts))
	for i, d := range drafts {
		records[i] = d.record
	}
	return produce(ctx, b.client, records...)
}

// abort ends what may be left of a transaction. If it cannot, Kafka does in time.
func (b *batches) abort() {
	ctx, cancel := context.WithTimeout(b.life, transactionTimeout)
	defer cancel()
	if b.client.AbortBufferedRecords(ctx) != nil || b.client.EndTransaction(ctx, kgo.TryAbort) != nil {
		b.drop()
	}
}
