package jitneytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jitney-go/jitney"
)

// settle settles those of entries whose numbers are given.
func settle(c jitney.Cursor, entries []jitney.Entry, ns ...int) {
	for _, e := range entries {
		if slices.Contains(ns, e.Envelope.Event.(happened).N) {
			c.Settle(e.Position, jitney.Settled)
		}
	}
}

func journalResumes(ctx context.Context, r *journalRig) error {
	err := r.run(true, func() error {
		c, err := r.open(ctx, "s", jitney.FromBeginning())
		if err != nil {
			return err
		}
		if err := r.Append(ctx, r.happen(1, 2, 3, 4, 5, 6)...); err != nil {
			return err
		}
		entries, err := comes(ctx, c, 1, 2, 3, 4, 5)
		if err != nil {
			return err
		}
		settle(c, entries, 5, 3, 1)
		return c.Close(ctx)
	})
	if err != nil {
		return err
	}
	for range 2 {
		err := r.run(true, func() error {
			c, err := r.open(ctx, "s", jitney.FromBeginning())
			if err != nil {
				return err
			}
			if _, err := comes(ctx, c, 2, 4, 6); err != nil {
				return err
			}
			return errors.Join(nothing(ctx, c), c.Close(ctx))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func journalSurvives(ctx context.Context, r *journalRig) error {
	err := r.run(false, func() error {
		c, err := r.open(ctx, "s", jitney.FromBeginning())
		if err != nil {
			return err
		}
		if err := r.Append(ctx, r.happen(1, 2, 3, 4)...); err != nil {
			return err
		}
		entries, err := comes(ctx, c, 1, 2, 3, 4)
		settle(c, entries, 1, 3)
		return err
	})
	if err != nil {
		return err
	}
	return r.run(true, func() error {
		c, err := r.open(ctx, "s", jitney.FromBeginning())
		if err != nil {
			return err
		}
		if err := r.Append(ctx, r.happen(5)...); err != nil {
			return err
		}
		var got []int
		for !slices.Contains(got, 5) {
			entries, _, err := read(ctx, c, 1)
			if err != nil {
				return fmt.Errorf("after %v: %w", got, err)
			}
			n, err := numbers(entries)
			if err != nil {
				return err
			}
			got = append(got, n...)
		}
		rest := slices.DeleteFunc(slices.Clone(got), func(n int) bool { return n == 1 || n == 3 })
		if !slices.IsSorted(got) || !slices.Equal(rest, []int{2, 4, 5}) {
			return fmt.Errorf("got %v, expected 2, 4, 5, and perhaps 1 and 3", got)
		}
		return nil
	})
}

func journalPostpones(ctx context.Context, r *journalRig) error {
	note := func(attempts int) jitney.Progress {
		first := died.UTC()
		return jitney.Progress{
			Attempts: attempts, First: first, Due: first.Add(time.Hour), Wait: time.Minute,
			Last: jitney.Attempt{Number: attempts, Time: first, Error: "out of paper", Class: "*printer.Error", Stack: "main"},
		}
	}
	program := func(f func(c jitney.Cursor) error) error {
		return r.run(true, func() error {
			c, err := r.open(ctx, "s", jitney.FromBeginning())
			if err != nil {
				return err
			}
			return errors.Join(f(c), c.Close(ctx))
		})
	}
	expect := func(e jitney.Entry, want jitney.Progress) error {
		if e.Progress == nil || *e.Progress != want {
			return fmt.Errorf("entry %d comes with %+v, expected %+v", e.Position, e.Progress, want)
		}
		return nil
	}
	return errors.Join(
		program(func(c jitney.Cursor) error {
			if err := r.Append(ctx, r.happen(1, 2, 3, 4, 5, 6)...); err != nil {
				return err
			}
			entries, err := comes(ctx, c, 1, 2, 3, 4, 5)
			if err != nil {
				return err
			}
			c.Postpone(entries[2].Position, note(1))
			settle(c, entries, 1, 2, 4)
			c.Postpone(entries[2].Position, note(2))
			return nil
		}),
		program(func(c jitney.Cursor) error {
			entries, err := comes(ctx, c, 3, 5, 6)
			if err != nil {
				return err
			}
			if entries[1].Progress != nil {
				return fmt.Errorf("what was not postponed comes with %+v", entries[1].Progress)
			}
			c.Postpone(entries[1].Position, note(3))
			return expect(entries[0], note(2))
		}),
		program(func(c jitney.Cursor) error {
			entries, err := comes(ctx, c, 3, 5, 6)
			if err != nil {
				return err
			}
			settle(c, entries, 3, 5)
			return errors.Join(expect(entries[0], note(2)), expect(entries[1], note(3)), nothing(ctx, c))
		}),
		program(func(c jitney.Cursor) error {
			entries, err := comes(ctx, c, 6)
			settle(c, entries, 6)
			return errors.Join(err, nothing(ctx, c))
		}),
		program(func(c jitney.Cursor) error { return nothing(ctx, c) }),
	)
}

func journalHeld(ctx context.Context, r *journalRig) error {
	want := jitney.Held{Paused: true, Until: died.UTC(), Pause: time.Minute, Trips: 3, Err: "out of paper"}
	for i, step := range []struct{ was, hold jitney.Held }{{jitney.Held{}, want}, {want, want}, {want, jitney.Held{}}, {jitney.Held{}, jitney.Held{}}} {
		err := r.run(true, func() error {
			told := 0
			var was jitney.Held
			c, err := r.Journal.Open(ctx, jitney.Durable{Name: "s", From: jitney.FromBeginning(), Held: func(h jitney.Held) { told, was = told+1, h }})
			if err != nil {
				return err
			}
			if err := r.Append(ctx, r.happen(i)...); err != nil {
				return err
			}
			for range i + 1 { // what was not settled comes again, and does not say so again
				if _, _, err := read(ctx, c, 1); err != nil {
					return err
				}
			}
			if told != 1 || was != step.was {
				err = fmt.Errorf("program %d was told %d times, of %+v, expected once %+v", i, told, was, step.was)
			}
			if i > 0 && step.hold == step.was {
				return errors.Join(err, c.Close(ctx))
			}
			return errors.Join(err, c.Hold(ctx, step.hold), c.Close(ctx))
		})
		if err != nil {
			return err
		}
	}
	return nil
}
