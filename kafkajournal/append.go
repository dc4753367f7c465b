package kafkajournal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/wire"
)

// Append implements [jitney.Journal]. One event is stored by an idempotent producer, several by a transaction.
func (j *Journal) Append(ctx context.Context, envs ...*jitney.Envelope) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	drafts, err := j.drafts(envs)
	if err != nil {
		return err
	}
	fresh, err := j.claim(ctx, drafts)
	if err != nil || len(fresh) == 0 {
		return err
	}
	done := make(chan error, 1)
	if len(fresh) == 1 {
		j.storeOne(fresh[0], func(err error) { done <- j.stored(fresh, err) })
	} else {
		j.batches.Go(func() { done <- j.stored(fresh, j.storeAll(fresh)) })
	}
	select {
	case err = <-done:
	case <-ctx.Done():
		err = fmt.Errorf("%w: %w", jitney.ErrIndeterminate, context.Cause(ctx))
	}
	if err != nil {
		return fmt.Errorf("kafkajournal: append to %s: %w", j.topic, err)
	}
	return nil
}

// claim takes drafts that are not stored, and waits for those that others are storing.
func (j *Journal) claim(ctx context.Context, drafts []*draft) ([]*draft, error) {
	for {
		if j.isClosed() {
			return nil, fmt.Errorf("kafkajournal: append to %s: %w", j.topic, ErrClosed)
		}
		if err := j.sure(ctx); err != nil {
			return nil, fmt.Errorf("kafkajournal: append to %s: read back what may be stored: %w", j.topic, err)
		}
		fresh, wait, err := j.recent.claim(drafts)
		if err != nil || wait == nil {
			return fresh, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, fmt.Errorf("kafkajournal: append to %s: %w: %w", j.topic, jitney.ErrIndeterminate, context.Cause(ctx))
		}
	}
}

// deliveryTimeout is how long the journal tries to store an event, or up to a second less.
const deliveryTimeout = 30 * time.Second

// storeOne stores d, and calls done when it is known whether it has.
func (j *Journal) storeOne(d *draft, done func(error)) {
	j.producer.TryProduce(j.deadline.context(), d.record, func(_ *kgo.Record, err error) { done(verdict(err)) })
}

// deadline is shared by the events of a second: a context with a timer for each is a tenth of what it costs to store it.
type deadline struct {
	mu    sync.Mutex
	ctx   context.Context
	fresh time.Time // until then ctx is given to others
}

func (d *deadline) context() context.Context {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx == nil || now.After(d.fresh) {
		ctx, cancel := context.WithTimeout(context.Background(), deliveryTimeout)
		context.AfterFunc(ctx, cancel) // nobody ends it before its time: others may have it
		d.ctx, d.fresh = ctx, now.Add(time.Second)
	}
	return d.ctx
}

// produce stores records, or returns when ctx ends. kgo itself waits on for brokers that do not answer, if they may have
// them, until they do or the client is closed.
func produce(ctx context.Context, client *kgo.Client, records ...*kgo.Record) error {
	done := make(chan error, 1)
	go func() { done <- client.ProduceSync(ctx, records...).FirstErr() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// stored notes what has become of drafts, and returns err.
func (j *Journal) stored(drafts []*draft, err error) error {
	j.recent.settle(drafts, err, errors.Is(err, jitney.ErrIndeterminate))
	return err
}

// refusals say that a record has not been stored, and will not be.
var refusals = []error{
	kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidRecord, kerr.InvalidTimestamp, kerr.CorruptMessage,
	kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.InvalidTopicException, kerr.PolicyViolation,
	kgo.ErrMaxBuffered,
}

// verdict is what a producer's error says of its record. Unless it is a refusal nobody knows: an answer may have been
// lost, or the event may be on too few brokers to be sure.
func verdict(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, kerr.MessageTooLarge) {
		return fmt.Errorf("%w: %w", wire.ErrPayloadTooLarge, err)
	}
	for _, refusal := range refusals {
		if errors.Is(err, refusal) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", jitney.ErrIndeterminate, err)
}
