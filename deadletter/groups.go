package deadletter

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jitney-go/jitney"
)

// Group is the letters of one subscriber that have one fingerprint.
type Group struct {
	Subscriber  string
	Fingerprint string
	Count       int
	First, Last time.Time         // when the first of them died, and the last
	Sample      jitney.DeadLetter // the last
}

// Has reports whether l belongs to g.
func (g Group) Has(l jitney.DeadLetter) bool {
	return l.Subscriber == g.Subscriber && Fingerprint(l) == g.Fingerprint
}

// Groups sums up the letters of a store that match f, the largest group first. It reads the store page by
// page; letters that come or go meanwhile may be counted or not.
func Groups(ctx context.Context, store jitney.DeadLetterStore, f jitney.DeadLetterFilter) ([]Group, error) {
	var s summary
	err := each(ctx, store, f, func(l jitney.DeadLetter) error {
		s.add(l)
		return nil
	})
	return s.groups(), err
}

// summary gathers groups.
type summary map[groupKey]*Group

type groupKey struct{ subscriber, fingerprint string }

func (s *summary) add(l jitney.DeadLetter) {
	if *s == nil {
		*s = make(summary)
	}
	key := groupKey{l.Subscriber, Fingerprint(l)}
	g := (*s)[key]
	if g == nil {
		g = &Group{Subscriber: key.subscriber, Fingerprint: key.fingerprint, First: l.Time}
		(*s)[key] = g
	}
	g.Count++
	if l.Time.Before(g.First) {
		g.First = l.Time
	}
	if !l.Time.Before(g.Last) {
		g.Last, g.Sample = l.Time, l
	}
}

func (s summary) groups() []Group {
	list := make([]Group, 0, len(s))
	for _, g := range s {
		list = append(list, *g)
	}
	slices.SortFunc(list, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Subscriber, b.Subscriber),
			cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
	return list
}

// page is how many letters are read at once.
const page = 100

// each calls f for the letters that match, in the order of their IDs, until it returns an error.
func each(ctx context.Context, store jitney.DeadLetterStore, filter jitney.DeadLetterFilter, f func(jitney.DeadLetter) error) error {
	left := filter.Limit
	for {
		filter.Limit = page
		if left > 0 {
			filter.Limit = min(page, left)
		}
		list, err := store.List(ctx, filter)
		if err != nil {
			return fmt.Errorf("deadletter: list letters after %s: %w", filter.After, err)
		}
		for _, l := range list {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := f(l); err != nil {
				return err
			}
			filter.After = l.ID
		}
		if len(list) < filter.Limit {
			return nil
		}
		if left > 0 {
			if left -= len(list); left == 0 {
				return nil
			}
		}
	}
}
