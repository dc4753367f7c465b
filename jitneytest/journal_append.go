package jitneytest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/wire"
)

func journalKeeps(ctx context.Context, r *journalRig) error {
	first := &jitney.Envelope{
		ID: uuid.Must(uuid.NewV7()), Type: "jitneytest.happened", Version: 1, Time: died.Add(123456789), Source: "shop",
		Key: "customer 17 ü\x00", Correlation: "flow", CausationID: uuid.Must(uuid.NewV7()), Hops: 3,
		Headers: map[string]string{"tenant": "a"}, Event: happened{7},
	}
	raw := r.make(jitney.RawEvent{Type: "other", Version: 1, ContentType: "image/png", Data: []byte{0, 255}})
	check := func() error {
		c, err := r.open(ctx, "s", jitney.FromBeginning())
		if err != nil {
			return err
		}
		entries, _, err := read(ctx, c, 2)
		if err != nil {
			return err
		}
		if r.perKey && entries[0].Err == nil && entries[0].Envelope.ID == raw.ID {
			slices.Reverse(entries)
		}
		for i, want := range []*jitney.Envelope{first, raw} {
			if entries[i].Err != nil || !reflect.DeepEqual(normal(entries[i].Envelope), normal(want)) {
				return fmt.Errorf("got %+v (%v), expected %+v", *entries[i].Envelope, entries[i].Err, *want)
			}
		}
		return c.Close(ctx)
	}
	err := r.run(true, func() error { return errors.Join(r.Append(ctx, first), r.Append(ctx, raw), check()) })
	if err != nil {
		return err
	}
	return r.run(true, check)
}

// normal is env with its time in UTC.
func normal(env *jitney.Envelope) jitney.Envelope {
	n := *env
	n.Time = n.Time.UTC()
	return n
}

func journalCapable(_ context.Context, r *journalRig) error {
	return r.run(true, func() error {
		_, schedules := r.Journal.(jitney.ScheduleStore)
		for c, can := range map[jitney.Capability]bool{
			jitney.CanBatch: r.single == "", jitney.CanOrderAll: !r.perKey, jitney.CanSchedule: schedules,
		} {
			if !can && jitney.Require(r.Journal, c) == nil {
				return fmt.Errorf("it says that it can: %s", c)
			}
		}
		return nil
	})
}

func journalAtomic(ctx context.Context, r *journalRig) error {
	if r.single != "" {
		return &leftOutError{r.single}
	}
	bad := r.make(happened{2})
	bad.Headers = map[string]string{"No": ""}
	return r.run(true, func() error {
		c, err := r.open(ctx, "s", jitney.FromBeginning())
		if err != nil {
			return err
		}
		if err := r.Append(ctx, r.happen(1)[0], bad, r.happen(3)[0]); !errors.Is(err, wire.ErrInvalidHeader) {
			return fmt.Errorf("Append of an invalid envelope among others: %v", err)
		}
		big := r.make(jitney.RawEvent{Type: "big", Version: 1, Data: []byte(strings.Repeat("x", 2<<20))})
		if err := r.Append(ctx, r.happen(1)[0], big); !errors.Is(err, wire.ErrPayloadTooLarge) {
			return fmt.Errorf("Append of 2 MiB: %v", err)
		}
		if err := r.Append(ctx, r.happen(4, 5, 6)...); err != nil {
			return err
		}
		_, err = comes(ctx, c, 4, 5, 6)
		return err
	})
}

func journalOnce(ctx context.Context, r *journalRig) error {
	envs := r.happen(1, 2, 3)
	return errors.Join(r.run(true, func() error { return r.Append(ctx, envs[0], envs[1]) }), r.run(true, func() error {
		c, err := r.open(ctx, "s", jitney.FromBeginning())
		if err != nil {
			return err
		}
		if err := r.Append(ctx, envs...); err != nil {
			return fmt.Errorf("Append of two that are stored and one that is not: %w", err)
		}
		other := *envs[0]
		other.Event = happened{99}
		if err := r.Append(ctx, append(r.besides(4), &other)...); !errors.Is(err, jitney.ErrIDConflict) {
			return fmt.Errorf("Append of another event under a stored ID: %v", err)
		}
		if err := r.Append(ctx, envs[0]); err != nil {
			return err
		}
		if _, err := comes(ctx, c, 1, 2, 3); err != nil {
			return err
		}
		return nothing(ctx, c)
	}))
}

// besides makes what is to be refused with another envelope of its batch.
func (r *journalRig) besides(n int) []*jitney.Envelope {
	if r.single != "" {
		return nil
	}
	return r.happen(n)
}

func journalCancelled(ctx context.Context, r *journalRig) error {
	return r.run(true, func() error {
		c, err := r.open(ctx, "s", jitney.FromBeginning())
		if err != nil {
			return err
		}
		over, cancel := context.WithCancel(ctx)
		cancel()
		if err := r.Append(over, r.happen(1)...); err == nil {
			return errors.New("Append with a context that has ended: no error")
		}
		return nothing(ctx, c)
	})
}

func journalEnd(ctx context.Context, r *journalRig) error {
	return r.run(true, func() error {
		c, err := r.open(ctx, "s", jitney.FromBeginning())
		if err != nil {
			return err
		}
		if end, err := r.End(ctx); err != nil || end != 0 {
			return fmt.Errorf("End of an empty journal: %d, %v", end, err)
		}
		if err := r.Append(ctx, r.happen(1, 2)...); err != nil {
			return err
		}
		end, err := r.End(ctx)
		if err != nil {
			return err
		}
		if _, through, err := read(ctx, c, 1); err != nil || through >= end {
			return fmt.Errorf("through is %d of %d (%v), and there is one more to come", through, end, err)
		}
		_, through, err := read(ctx, c, 1)
		for err == nil && through < end {
			var more []jitney.Entry
			if more, through, err = c.Next(ctx, 1); len(more) > 0 {
				err = fmt.Errorf("got %s, expected nothing", more[0].Envelope)
			}
		}
		if err != nil {
			return fmt.Errorf("End is %d, through %d: %w", end, through, err)
		}
		return nil
	})
}

func journalOrder(ctx context.Context, r *journalRig) error {
	const publishers, each = 8, 50
	return r.run(true, func() error {
		var cursors []jitney.Cursor
		for _, name := range []string{"a", "b"} {
			c, err := r.open(ctx, name, jitney.Start{})
			if err != nil {
				return err
			}
			cursors = append(cursors, c)
		}
		envs := make([][]*jitney.Envelope, publishers)
		for p := range publishers {
			for i := range each {
				envs[p] = append(envs[p], r.happen(p*each+i)...)
			}
		}
		var wg sync.WaitGroup
		errs := make([]error, publishers)
		for p := range publishers {
			wg.Go(func() {
				for i := range each {
					errs[p] = errors.Join(errs[p], r.Append(ctx, envs[p][i]))
				}
			})
		}
		var seen [2][]int
		for i, c := range cursors {
			entries, _, err := read(ctx, c, publishers*each)
			if err != nil {
				return err
			}
			if seen[i], err = numbers(entries); err != nil {
				return err
			}
		}
		wg.Wait()
		if !slices.Equal(seen[0], seen[1]) {
			return errors.New("two subscribers have seen different orders")
		}
		next := make([]int, publishers)
		for _, n := range seen[0] {
			if p := n / each; n%each != next[p] {
				return fmt.Errorf("publisher %d's number %d came when %d was due", p, n%each, next[p])
			}
			next[n/each]++
		}
		return errors.Join(errs...)
	})
}
