package jitney

import (
	"cmp"
	"context"
	"errors"
	"slices"
)

// errUndone makes an inbox forget the marks of a batch of which not everything was handled.
var errUndone = errors.New("not all of the batch was handled")

// deduplicateBatch puts the subscription's inbox in front of next: each event's Run is called within that of another, so
// that all are marked or none, in one transaction if the inbox has one.
func (s *Subscription) deduplicateBatch(next Handler) Handler {
	return func(ctx context.Context, e Event) error {
		b, _ := ctx.Value(batchKey{}).(*batch)
		c := scopeOf(ctx)
		events, ok := e.(Batch)
		if b == nil || c == nil || c.sub != s || !ok || len(events) != len(b.entries) {
			return ErrForeignContext
		}
		d := &dedup{s: s, b: b, events: events, scopes: rosterOf(ctx, c).scopes, next: next}
		if len(d.scopes) != len(events) {
			return ErrForeignContext
		}
		d.plan()
		err := contain(func() error { return d.run(ctx, 0) })
		return d.sum(err)
	}
}

// dedup is one batch on its way through an inbox.
type dedup struct {
	s      *Subscription
	b      *batch
	events Batch
	scopes []*scope
	next   Handler

	keys   []InboxKey
	order  []int // of the events, by key: whoever waits for another's holds no key that this one waits for
	open   []int // not marked
	called bool
	errs   []error // of the open ones, from the handler; nil if whole is not
	whole  error
}

// plan finds the keys. Of two events with one key, the second has to see what becomes of the first.
func (d *dedup) plan() {
	d.keys = make([]InboxKey, len(d.events))
	for i, e := range d.events {
		err := contain(func() (err error) { d.keys[i], err = d.s.inboxKey(d.scopes[i].env, e); return err })
		if d.b.known[i] = err; err == nil {
			d.order = append(d.order, i)
		}
	}
	slices.SortStableFunc(d.order, func(i, j int) int { return cmp.Compare(d.keys[i].ID(), d.keys[j].ID()) })
	before := -1
	d.order = slices.DeleteFunc(d.order, func(i int) bool {
		if before >= 0 && d.keys[before].ID() == d.keys[i].ID() {
			d.b.known[i] = ErrNotTried
			return true
		}
		before = i
		return false
	})
}

// run goes through the inbox with the events from the n-th of the order on, and then to the handler.
func (d *dedup) run(ctx context.Context, n int) error {
	if n == len(d.order) {
		return d.handle(ctx)
	}
	i, called := d.order[n], false
	err := d.s.inbox.Run(ctx, d.keys[i], func(ctx context.Context) error {
		called = true
		d.open = append(d.open, i)
		return d.run(ctx, n+1)
	})
	switch {
	case called:
		return err
	case is(err, ErrDuplicate), is(err, ErrKeyReuse):
		d.b.known[i] = err
		return d.run(ctx, n+1)
	}
	return err
}

// handle calls the handler with what is not marked.
func (d *dedup) handle(ctx context.Context) error {
	if len(d.open) == 0 {
		return nil
	}
	slices.Sort(d.open)
	events, scopes := make(Batch, len(d.open)), make([]*scope, len(d.open))
	for at, i := range d.open {
		events[at], scopes[at] = d.events[i], d.scopes[i]
	}
	d.called = true
	err := d.next(newRoster(ctx, scopes), events)
	if e := batchErrorIn(err); e != nil {
		d.errs, _ = e.about(len(events))
	}
	if d.errs == nil {
		d.whole = err
		return err
	}
	for _, err := range d.errs {
		if st := steering(err); err != nil && (st == nil || st.way != waySkip) {
			return errUndone
		}
	}
	return nil
}

// sum says of each event of the batch how it went, after the inbox has returned err.
func (d *dedup) sum(err error) error {
	switch {
	case err != nil && !d.called:
		clear(d.b.known)
		return &inboxError{err}
	case d.whole != nil:
		return d.whole
	case err != nil && !is(err, errUndone):
		return err // handled, and not marked
	}
	d.b.undone = err != nil
	all, some := make([]error, len(d.events)), false
	for i, err := range d.b.known {
		all[i] = err
		some = some || err != nil
	}
	for at, i := range d.open {
		if d.errs != nil {
			all[i] = d.errs[at]
		}
		if st := steering(all[i]); d.b.undone && (all[i] == nil || st != nil && st.way == waySkip) {
			all[i] = ErrNotTried // it was handled, and is not marked
		}
		some = some || all[i] != nil
	}
	if !some {
		return nil
	}
	return &BatchError{Errs: all}
}
