package jitney

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// SubscribeBatch is [Subscribe] with a handler that takes several events in one call: for projections and bulk inserts.
// A batch begins when as many events are there as WithBatch says, or when the first of them has waited for as long as
// it says; at once while Flush, Shutdown or Close wait, or when the queue is full; and with fewer than that many if its
// buffer holds no more. Its events stand in the order in which they would come one by one: with one lane that of
// Publish; WithWorkers makes each worker's batch of what is there of as many keys as it takes, key by key, and no other
// batch has events of these keys meanwhile.
//
// What handler returns decides. nil: all are handled. A [*BatchError] says it event by event. Permanent, Skip and
// RetryAfter say it of each event. Any other error, a panic, and a timeout tell of all and blame none: so no attempt is
// used up, and the same events come again at once, in two batches of half the size, and so on until what fails stands
// alone. That one is tried again as its retry policy says, and becomes a dead letter, as ever; the others have been
// handled meanwhile, or come after it.
//
// All that is said of a delivery holds for each of a batch: Stats, retries, dead letters and Redeliver count events.
// WithTimeout is for the batch, a [Breaker] sees one failure in a batch that fails, and while it is half-open tries
// a batch of one. A redelivered event is a batch of its own, and so is one that was in flight when a process died. With
// WithParking what was in one batch with an event that dies has its own outcome by then; what comes after that is parked.
//
// WithIdempotency marks all events of a batch, or none: when the handler names any that have failed, those that it has
// handled come again too, and those that have failed come alone. So with an inbox whose mark shares the handler's
// transaction there is one transaction for a batch. Events that are marked already are not in the handler's batch.
//
// Middlewares are called once for a batch, with a [Batch].
//
// SubscribeBatch panics as Subscribe does, and with WithSync or WithFairShare, which make no sense for batches.
func SubscribeBatch[T Event](b *Bus, name string, handler func(ctx context.Context, batch []T) error, opts ...SubscribeOption) *Subscription {
	if b == nil || handler == nil {
		panic(fmt.Sprintf("jitney: SubscribeBatch %q: nil bus or handler, at %s", name, caller()))
	}
	return subscribe(b, name, reflect.TypeFor[T](), func(ctx context.Context, e Event) error {
		batch, ok := e.(Batch)
		list := make([]T, len(batch))
		for i := range batch {
			if list[i], ok = batch[i].(T); !ok {
				break
			}
		}
		if !ok || len(list) != len(Deliveries(ctx)) { // routing is by type: a middleware has passed on something else
			return Permanent(fmt.Errorf("jitney: %s takes batches of %s, a middleware gave it another, or something else: a %T", name, reflect.TypeFor[T](), e))
		}
		return handler(ctx, list)
	}, append(slices.Clone(opts), subscribeOption(func(c *subscribeConfig) { c.batches = true })))
}

// Batch is the events of a batch, in their order, as a middleware sees them. Deliveries(ctx) tells of each. A middleware
// may pass on another one, of as many events of the same types.
type Batch []Event

// EventType returns "jitney.batch". No batch is ever published.
func (Batch) EventType() string { return "jitney.batch" }

// BatchError is what the handler of a batch returns when its events have fared differently.
type BatchError struct {
	// Errs says of each event of the batch, by its index, how it went: nil that it is handled; an error that it has
	// failed, with all that errors say elsewhere (Permanent, Skip, RetryAfter, or else the retry policy decides);
	// ErrNotTried that the handler has not come to it. It says the latter also of the events that Errs is too short for,
	// so a handler that does one after the other may stop at the first that fails.
	Errs []error
}

// ErrNotTried says, in a BatchError, that the handler has not come to an event. It keeps its place, comes again in the
// next batch, and no attempt is used up. A BatchError that says this of all its events is an error of the whole batch.
var ErrNotTried = errors.New("not tried")

func (e *BatchError) Error() string {
	failed, first := 0, -1
	for i, err := range e.Errs {
		if err != nil && err != ErrNotTried {
			failed++
			if first < 0 {
				first = i
			}
		}
	}
	if failed == 0 {
		return fmt.Sprintf("batch: none of %d events failed", len(e.Errs))
	}
	return fmt.Sprintf("batch: %d events failed, the first of them is the %d.: %s", failed, first+1, errorText(e.Errs[first]))
}

// Unwrap returns the errors of the events that have failed.
func (e *BatchError) Unwrap() []error {
	return slices.DeleteFunc(slices.Clone(e.Errs), func(err error) bool { return err == nil || err == ErrNotTried })
}

// about returns what e says of each of n events, and whether it can be taken at its word.
func (e *BatchError) about(n int) (errs []error, ok bool) {
	tried := slices.ContainsFunc(e.Errs, func(err error) bool { return err != ErrNotTried })
	if !tried || len(e.Errs) > n {
		return nil, false
	}
	errs = slices.Clone(e.Errs)
	for len(errs) < n {
		errs = append(errs, ErrNotTried)
	}
	return errs, true
}

// batchErrorIn returns the BatchError in err's tree, or nil.
func batchErrorIn(err error) (found *BatchError) {
	find(err, func(e error) (ok bool) {
		found, ok = e.(*BatchError)
		return ok
	})
	return found
}

// Deliveries returns the deliveries of the batch that the handler called with ctx is working on, one for each event and
// in their order; of another handler, its one delivery; and none outside a handler.
//
// FromContext returns one of them: that of the event with the most causes before it, and of the first of those. It is
// the cause of what the handler publishes with ctx, and gives its correlation id; for another see ContextWithDelivery.
func Deliveries(ctx context.Context) []*Delivery {
	s := scopeOf(ctx)
	if s == nil {
		return nil
	}
	list := []*Delivery{}
	for _, s := range rosterOf(ctx, s).scopes {
		list = append(list, s.delivery())
	}
	return list
}

// ContextWithDelivery returns a context in which FromContext is the i-th delivery of a batch, which is the cause of what is
// published with it. It panics if ctx's batch has no such delivery.
func ContextWithDelivery(ctx context.Context, i int) context.Context {
	s := scopeOf(ctx)
	if s == nil {
		panic("jitney: ContextWithDelivery outside a handler, at " + caller())
	}
	return newRoster(ctx, rosterOf(ctx, s).scopes[i:i+1])
}

// roster is a context in which several deliveries are under way.
type roster struct {
	context.Context
	lead   *scope // the one that flowOf finds
	scopes []*scope
}

type rosterKey struct{}

func newRoster(ctx context.Context, scopes []*scope) *roster {
	return &roster{Context: ctx, scopes: scopes, lead: slices.MaxFunc(scopes, func(a, b *scope) int { return a.env.Hops - b.env.Hops })}
}

// rosterOf returns the roster that s is of: one for s alone outside a batch.
func rosterOf(ctx context.Context, s *scope) *roster {
	if r, ok := ctx.Value(rosterKey{}).(*roster); ok && r.lead == s {
		return r
	}
	return &roster{Context: ctx, lead: s, scopes: []*scope{s}}
}

// Value implements context.Context.
func (r *roster) Value(key any) any {
	switch key.(type) {
	case rosterKey:
		return r
	case flowKey:
		return r.lead
	}
	return r.Context.Value(key)
}
