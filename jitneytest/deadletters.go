package jitneytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/wire"
)

// TestDeadLetterStore checks that an implementation of [jitney.DeadLetterStore] keeps its contract, one
// subtest per sentence. newStore returns an empty store each time, with room for 100 letters. The letters'
// events have a Go type of this package's own; see Types.
func TestDeadLetterStore(t *testing.T, newStore func(t *testing.T) jitney.DeadLetterStore) {
	obeys(t, storeLaws, newStore)
}

var storeLaws = []law[jitney.DeadLetterStore]{
	{"Get returns what was added", storeGets},
	{"A letter that is not there is ErrNoDeadLetter", storeMisses},
	{"A letter with the same ID is replaced", storeReplaces},
	{"What a caller does to a letter does not change the stored one", storeCopies},
	{"List is in the order of IDs and pages by After and Limit", storePages},
	{"Each field of the filter selects", storeFilters},
	{"Count heeds neither After nor Limit", storeCounts},
	{"Of two concurrent Removes one succeeds", storeRemovesOnce},
	{"All methods may be called at once", storeRaces},
}

type happened struct{ N int }

func (happened) EventType() string { return "jitneytest.happened" }

// Types returns the Go types of the suites' own events, for stores that encode them.
func Types() *wire.Types {
	types := wire.NewTypes()
	wire.Register[happened](types)
	return types
}

var died = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// letterOf returns the n-th letter: a later one has a greater ID, and died n minutes later.
func letterOf(n int) jitney.DeadLetter {
	id := uuid.UUID{6: 0x70, 8: 0x80, 15: byte(n)}
	at := died.Add(time.Duration(n) * time.Minute)
	return jitney.DeadLetter{
		ID: id, Subscriber: "billing", Reason: jitney.ReasonExhausted, Time: at, Attempts: 1,
		History: []jitney.Attempt{{Number: 1, Time: at, Error: "card declined", Class: "*test.Declined"}},
		Envelope: &jitney.Envelope{
			ID: uuid.UUID{0: 1, 6: 0x70, 8: 0x80, 15: byte(n)}, Type: "jitneytest.happened", Version: 1,
			Time: at, Correlation: "flow", Headers: map[string]string{"h": "v"}, Event: happened{n},
		},
	}
}

func add(ctx context.Context, s jitney.DeadLetterStore, ns ...int) error {
	for _, n := range ns {
		if err := s.Add(ctx, letterOf(n)); err != nil {
			return err
		}
	}
	return nil
}

// same compares what identifies a letter and what was copied of it.
func same(got, want jitney.DeadLetter) error {
	switch {
	case got.ID != want.ID, got.Subscriber != want.Subscriber, got.Reason != want.Reason,
		!got.Time.Equal(want.Time), got.Attempts != want.Attempts, got.Redeliveries != want.Redeliveries,
		got.LastError() != want.LastError(), got.Class() != want.Class(), (got.Original == nil) != (want.Original == nil), len(got.History) != len(want.History),
		got.Envelope == nil, got.Envelope.ID != want.Envelope.ID, got.Envelope.Type != want.Envelope.Type,
		got.Envelope.Headers["h"] != want.Envelope.Headers["h"], got.Envelope.Event != want.Envelope.Event:
		return fmt.Errorf("got %+v, expected %+v", got, want)
	}
	return nil
}

func gets(ctx context.Context, s jitney.DeadLetterStore, want jitney.DeadLetter) error {
	got, err := s.Get(ctx, want.ID)
	if err != nil {
		return err
	}
	return same(got, want)
}

// lists checks that f selects just the letters of those numbers, in that order.
func lists(ctx context.Context, s jitney.DeadLetterStore, f jitney.DeadLetterFilter, ns ...int) error {
	list, err := s.List(ctx, f)
	if err != nil {
		return err
	}
	var got []int
	for _, l := range list {
		got = append(got, int(l.ID[15]))
	}
	if !slices.Equal(got, ns) {
		return fmt.Errorf("List(%+v) returned letters %v, expected %v", f, got, ns)
	}
	return nil
}

func storeGets(ctx context.Context, s jitney.DeadLetterStore) error {
	return errors.Join(add(ctx, s, 1, 2), gets(ctx, s, letterOf(1)), gets(ctx, s, letterOf(2)))
}

func storeMisses(ctx context.Context, s jitney.DeadLetterStore) error {
	_, err := s.Get(ctx, letterOf(1).ID)
	if !errors.Is(err, jitney.ErrNoDeadLetter) {
		return fmt.Errorf("Get returned %v", err)
	}
	if err := s.Remove(ctx, letterOf(1).ID); !errors.Is(err, jitney.ErrNoDeadLetter) {
		return fmt.Errorf("Remove returned %v", err)
	}
	return nil
}

func storeReplaces(ctx context.Context, s jitney.DeadLetterStore) error {
	l := letterOf(1)
	l.Redeliveries, l.Attempts, l.Original = 1, 2, letterOf(3).Envelope
	return errors.Join(add(ctx, s, 1, 2), s.Add(ctx, l), gets(ctx, s, l), lists(ctx, s, jitney.DeadLetterFilter{}, 1, 2))
}

func storeCopies(ctx context.Context, s jitney.DeadLetterStore) error {
	scribble := func(l jitney.DeadLetter) {
		l.History[0].Error = "scribbled"
		l.Envelope.Headers["h"] = "scribbled"
		l.Envelope.Type = "scribbled"
	}
	l := letterOf(1)
	if err := s.Add(ctx, l); err != nil {
		return err
	}
	scribble(l)
	if err := gets(ctx, s, letterOf(1)); err != nil {
		return fmt.Errorf("after a change to the added letter: %w", err)
	}
	got, err := s.Get(ctx, l.ID)
	if err != nil {
		return err
	}
	scribble(got)
	if err := gets(ctx, s, letterOf(1)); err != nil {
		return fmt.Errorf("after a change to the letter from Get: %w", err)
	}
	list, err := s.List(ctx, jitney.DeadLetterFilter{})
	if err != nil || len(list) != 1 {
		return fmt.Errorf("List returned %v, %w", list, err)
	}
	scribble(list[0])
	if err := gets(ctx, s, letterOf(1)); err != nil {
		return fmt.Errorf("after a change to the letter from List: %w", err)
	}
	return nil
}

func storePages(ctx context.Context, s jitney.DeadLetterStore) error {
	page := func(after, limit int) jitney.DeadLetterFilter {
		f := jitney.DeadLetterFilter{Limit: limit}
		if after > 0 {
			f.After = letterOf(after).ID
		}
		return f
	}
	return errors.Join(
		add(ctx, s, 5, 1, 4, 2, 7),
		lists(ctx, s, page(0, 0), 1, 2, 4, 5, 7),
		lists(ctx, s, page(0, 2), 1, 2),
		lists(ctx, s, page(2, 2), 4, 5),
		lists(ctx, s, page(3, 1), 4), // a last ID that has been removed since
		lists(ctx, s, page(5, 2), 7),
		lists(ctx, s, page(7, 2)))
}

func storeFilters(ctx context.Context, s jitney.DeadLetterStore) error {
	other := letterOf(3)
	other.Subscriber, other.Envelope.Type = "shipping", "other.happened"
	other.History[0].Error, other.History[0].Class = "no stock", "*test.Empty"
	type f = jitney.DeadLetterFilter
	return errors.Join(
		add(ctx, s, 1, 2), s.Add(ctx, other),
		lists(ctx, s, f{Subscriber: "shipping"}, 3),
		lists(ctx, s, f{Type: "jitneytest.happened"}, 1, 2),
		lists(ctx, s, f{Error: "stock"}, 3),
		lists(ctx, s, f{Class: "*test.Declined"}, 1, 2),
		lists(ctx, s, f{Since: letterOf(2).Time}, 2, 3),
		lists(ctx, s, f{Until: letterOf(2).Time}, 1),
		lists(ctx, s, f{Subscriber: "billing", Since: letterOf(2).Time}, 2))
}

func storeCounts(ctx context.Context, s jitney.DeadLetterStore) error {
	if err := add(ctx, s, 1, 2, 3); err != nil {
		return err
	}
	n, err := s.Count(ctx, jitney.DeadLetterFilter{Subscriber: "billing", After: letterOf(2).ID, Limit: 1})
	if err != nil || n != 3 {
		return fmt.Errorf("counted %d, expected 3 (%v)", n, err)
	}
	n, err = s.Count(ctx, jitney.DeadLetterFilter{Until: letterOf(2).Time})
	if err != nil || n != 1 {
		return fmt.Errorf("counted %d, expected 1 (%v)", n, err)
	}
	return nil
}

func storeRemovesOnce(ctx context.Context, s jitney.DeadLetterStore) error {
	for n := range 50 {
		if err := add(ctx, s, n); err != nil {
			return err
		}
		errs := make(chan error, 2)
		for range 2 {
			go func() { errs <- s.Remove(ctx, letterOf(n).ID) }()
		}
		a, b := <-errs, <-errs
		if a != nil {
			a, b = b, a
		}
		if a != nil || !errors.Is(b, jitney.ErrNoDeadLetter) {
			return fmt.Errorf("two removals of one letter returned %v and %v", a, b)
		}
	}
	return lists(ctx, s, jitney.DeadLetterFilter{})
}

func storeRaces(ctx context.Context, s jitney.DeadLetterStore) error {
	var all sync.WaitGroup
	errs := make(chan error, 8)
	for client := range 8 {
		all.Go(func() {
			for i := range 10 {
				n := client*10 + i
				err := errors.Join(add(ctx, s, n), gets(ctx, s, letterOf(n)))
				_, listErr := s.List(ctx, jitney.DeadLetterFilter{Limit: 5})
				_, countErr := s.Count(ctx, jitney.DeadLetterFilter{})
				if err = errors.Join(err, listErr, countErr, s.Remove(ctx, letterOf(n).ID)); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(errs)
	for err := range errs {
		return err
	}
	return lists(ctx, s, jitney.DeadLetterFilter{})
}
