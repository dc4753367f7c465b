package jitneytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jitney-go/jitney"
)

func journalStarts(ctx context.Context, r *journalRig) error {
	envs := r.happen(1, 2, 3)
	return r.run(true, func() error {
		if err := r.Append(ctx, envs...); err != nil {
			return err
		}
		expected := map[string][]int{}
		cursors := map[string]jitney.Cursor{}
		for name, c := range map[string]struct {
			from jitney.Start
			want []int
		}{
			"at the beginning":    {jitney.FromBeginning(), []int{1, 2, 3, 4}},
			"to begin at the end": {jitney.Start{}, []int{4}},
			"at a time":           {jitney.FromTime(envs[1].Time), []int{2, 3, 4}},
			"between times":       {jitney.FromTime(envs[1].Time.Add(time.Second)), []int{3, 4}},
			"in the future":       {jitney.FromTime(envs[2].Time.Add(time.Second)), []int{4}},
		} {
			cursor, err := r.open(ctx, name, c.from)
			if err != nil {
				return err
			}
			expected[name], cursors[name] = c.want, cursor
		}
		if err := r.Append(ctx, r.happen(4)...); err != nil {
			return err
		}
		for name, want := range expected {
			if _, err := comes(ctx, cursors[name], want...); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	})
}

func journalNameOnce(ctx context.Context, r *journalRig) error {
	return r.run(true, func() error {
		c, err := r.open(ctx, "s", jitney.Start{})
		if err != nil {
			return err
		}
		if _, err := r.open(ctx, "s", jitney.Start{}); !errors.Is(err, jitney.ErrInUse) {
			return fmt.Errorf("Open of a name that is open: %v", err)
		}
		if err := c.Close(ctx); err != nil {
			return err
		}
		c, err = r.open(ctx, "s", jitney.Start{})
		if err != nil {
			return err
		}
		return c.Close(ctx)
	})
}

func journalNext(ctx context.Context, r *journalRig) error {
	return r.run(true, func() error {
		c, err := r.open(ctx, "s", jitney.Start{})
		if err != nil {
			return err
		}
		if err := nothing(ctx, c); err != nil {
			return err
		}
		appended := make(chan error, 1)
		go func() { appended <- r.Append(ctx, r.happen(1, 2, 3)...) }()
		var entries []jitney.Entry
		for len(entries) == 0 {
			if entries, _, err = c.Next(ctx, 2); err != nil || len(entries) > 2 {
				return fmt.Errorf("Next of at most 2 has returned %d, %w", len(entries), err)
			}
		}
		if err := <-appended; err != nil {
			return err
		}
		rest, _, err := read(ctx, c, 3-len(entries))
		if err != nil {
			return err
		}
		if got, err := numbers(append(entries, rest...)); err != nil || !slices.Equal(got, []int{1, 2, 3}) {
			return fmt.Errorf("got %v, %w", got, err)
		}
		return nil
	})
}

func journalFirst(ctx context.Context, r *journalRig) error {
	err := r.run(true, func() error {
		c, err := r.open(ctx, "s", jitney.FromBeginning())
		if err != nil {
			return err
		}
		if entries, through, err := c.Next(ctx, 1); err != nil || len(entries) > 0 || through != 0 {
			return fmt.Errorf("in an empty journal: %d entries, through %d, %w", len(entries), through, err)
		}
		if err := r.Append(ctx, r.happen(1)...); err != nil {
			return err
		}
		entries, err := comes(ctx, c, 1)
		settle(c, entries, 1)
		return errors.Join(err, c.Close(ctx))
	})
	if err != nil {
		return err
	}
	return r.run(true, func() error {
		c, err := r.open(ctx, "s", jitney.FromBeginning())
		if err != nil {
			return err
		}
		end, err := r.End(ctx)
		if err != nil {
			return err
		}
		if entries, through, err := c.Next(ctx, 1); err != nil || len(entries) > 0 || through != end {
			return fmt.Errorf("with nothing to do: %d entries, through %d of %d, %w", len(entries), through, end, err)
		}
		return nil
	})
}

func journalFilters(ctx context.Context, r *journalRig) error {
	return r.run(true, func() error {
		c, err := r.Journal.Open(ctx, jitney.Durable{Name: "s", Type: "jitneytest.happened", From: jitney.FromBeginning()})
		if err != nil {
			return err
		}
		other := func() *jitney.Envelope { return r.make(jitney.RawEvent{Type: "other", Version: 1, Data: []byte("{}")}) }
		if err := r.Append(ctx, other(), r.happen(1)[0], other(), other()); err != nil {
			return err
		}
		end, err := r.End(ctx)
		if err != nil {
			return err
		}
		var all []jitney.Entry
		for through := int64(0); through < end; {
			var entries []jitney.Entry
			if entries, through, err = c.Next(ctx, 10); err != nil {
				return fmt.Errorf("after %d entries: %w", len(all), err)
			}
			all = append(all, entries...)
		}
		if got, err := numbers(all); err != nil || !slices.Equal(got, []int{1}) {
			return fmt.Errorf("got %v, %w", got, err)
		}
		return nil
	})
}

func journalUnknown(ctx context.Context, r *journalRig) error {
	put := func(later bool, f func(c jitney.Cursor) error) error {
		if err := r.begin(later); err != nil {
			return err
		}
		c, err := r.open(ctx, "s", jitney.FromBeginning())
		if err != nil {
			return err
		}
		return errors.Join(f(c), c.Close(ctx), r.end(true))
	}
	err := put(false, func(c jitney.Cursor) error {
		if err := r.Append(ctx, r.make(unheardOf{7}), r.happen(1)[0]); err != nil {
			return err
		}
		entries, _, err := read(ctx, c, 2)
		if err != nil {
			return err
		}
		if _, raw := entries[0].Envelope.Event.(jitney.RawEvent); !raw {
			return fmt.Errorf("an unknown event came as %T", entries[0].Envelope.Event)
		}
		c.Settle(entries[0].Position, jitney.Unknown)
		c.Settle(entries[1].Position, jitney.Settled)
		return nothing(ctx, c)
	})
	if err != nil {
		return err
	}
	if err := put(false, func(c jitney.Cursor) error { return nothing(ctx, c) }); err != nil {
		return fmt.Errorf("to a program that does not know it either: %w", err)
	}
	return put(true, func(c jitney.Cursor) error {
		entries, _, err := read(ctx, c, 1)
		if err == nil && entries[0].Envelope.Event != (jitney.Event)(unheardOf{7}) {
			err = fmt.Errorf("came as %T", entries[0].Envelope.Event)
		}
		if err != nil {
			return fmt.Errorf("to a program that knows it: %w", err)
		}
		c.Settle(entries[0].Position, jitney.Settled)
		return nothing(ctx, c)
	})
}

func journalClosed(ctx context.Context, r *journalRig) error {
	err := r.run(true, func() error {
		c, err := r.open(ctx, "s", jitney.FromBeginning())
		if err != nil {
			return err
		}
		if err := r.Append(ctx, r.happen(1)...); err != nil {
			return err
		}
		entries, err := comes(ctx, c, 1)
		if err != nil {
			return err
		}
		if err := c.Close(ctx); err != nil {
			return err
		}
		settle(c, entries, 1)
		return nil
	})
	if err != nil {
		return err
	}
	return r.run(true, func() error {
		c, err := r.open(ctx, "s", jitney.Start{})
		if err != nil {
			return err
		}
		_, err = comes(ctx, c, 1)
		return err
	})
}
