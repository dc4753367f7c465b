package jitneytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/wire"
)

// ScheduleOpener is where schedules under test keep what they keep. It is open once at a time.
type ScheduleOpener interface {
	Open(types *wire.Types) (jitney.ScheduleStore, error)
	Close() error
}

// TestScheduleStore checks that an implementation of [jitney.ScheduleStore] keeps its contract, one subtest per
// sentence. newStore returns an empty one each time.
func TestScheduleStore(t *testing.T, newStore func(t *testing.T) ScheduleOpener) {
	obeys(t, scheduleLaws, newStore)
}

var scheduleLaws = []law[ScheduleOpener]{
	{"What is scheduled is listed by its time and ID, as it was", scheduleLists},
	{"What is unscheduled is gone, once", scheduleForgets},
	{"Two of one ID are a conflict", scheduleOnce},
	{"What is scheduled outlives its program, also for one that does not know it", scheduleStays},
}

func later(n int, after time.Duration) jitney.Scheduled {
	env := &jitney.Envelope{
		ID: uuid.Must(uuid.NewV7()), Type: "jitneytest.happened", Version: 1, Time: died.Add(after), Source: "test",
		Key: "k", Correlation: "c", Headers: map[string]string{"h": "v"}, Event: happened{n},
	}
	return jitney.Scheduled{ID: env.ID, At: env.Time, Envelope: env}
}

// with calls f with an open store.
func with(o ScheduleOpener, types *wire.Types, f func(s jitney.ScheduleStore) error) error {
	s, err := o.Open(types)
	if err != nil {
		return err
	}
	return errors.Join(f(s), o.Close())
}

// waiting says how what s has differs from want.
func waiting(ctx context.Context, s jitney.ScheduleStore, most int, want ...jitney.Scheduled) error {
	list, err := s.Scheduled(ctx, most)
	if err != nil {
		return err
	}
	if len(list) != len(want) {
		return fmt.Errorf("%d are scheduled, expected %d", len(list), len(want))
	}
	for i, got := range list {
		if got.ID != want[i].ID || !got.At.Equal(want[i].At) {
			return fmt.Errorf("the %d. is %s at %s, expected %s at %s", i, got.ID, got.At, want[i].ID, want[i].At)
		}
		if got.Err != nil {
			return fmt.Errorf("the %d.: %w", i, got.Err)
		}
		if g, w := normal(got.Envelope), normal(want[i].Envelope); fmt.Sprintf("%+v", g) != fmt.Sprintf("%+v", w) {
			return fmt.Errorf("the %d. is %+v, expected %+v", i, g, w)
		}
	}
	return nil
}

func scheduleLists(ctx context.Context, o ScheduleOpener) error {
	return with(o, Types(), func(s jitney.ScheduleStore) error {
		list := []jitney.Scheduled{later(1, time.Hour), later(2, time.Minute), later(3, time.Hour), later(4, 30*time.Minute)}
		for _, l := range list {
			if err := s.Schedule(ctx, l); err != nil {
				return err
			}
		}
		a, b, c, d := list[1], list[3], list[0], list[2]
		if slices.Compare(c.ID[:], d.ID[:]) > 0 {
			c, d = d, c
		}
		return errors.Join(waiting(ctx, s, 10, a, b, c, d), waiting(ctx, s, 2, a, b), waiting(ctx, s, 0))
	})
}

func scheduleForgets(ctx context.Context, o ScheduleOpener) error {
	return with(o, Types(), func(s jitney.ScheduleStore) error {
		a, b := later(1, time.Hour), later(2, 2*time.Hour)
		if err := errors.Join(s.Schedule(ctx, a), s.Schedule(ctx, b), s.Unschedule(ctx, a.ID)); err != nil {
			return err
		}
		for _, id := range []uuid.UUID{a.ID, uuid.New()} {
			if err := s.Unschedule(ctx, id); !errors.Is(err, jitney.ErrNotScheduled) {
				return fmt.Errorf("Unschedule of what is not there: %w", err)
			}
		}
		return waiting(ctx, s, 10, b)
	})
}

func scheduleOnce(ctx context.Context, o ScheduleOpener) error {
	return with(o, Types(), func(s jitney.ScheduleStore) error {
		a := later(1, time.Hour)
		if err := s.Schedule(ctx, a); err != nil {
			return err
		}
		if err := s.Schedule(ctx, a); !errors.Is(err, jitney.ErrIDConflict) {
			return fmt.Errorf("twice: %w", err)
		}
		return waiting(ctx, s, 10, a)
	})
}

func scheduleStays(ctx context.Context, o ScheduleOpener) error {
	a := later(1, time.Hour)
	return errors.Join(
		with(o, Types(), func(s jitney.ScheduleStore) error { return s.Schedule(ctx, a) }),
		with(o, wire.NewTypes(), func(s jitney.ScheduleStore) error {
			list, err := s.Scheduled(ctx, 10)
			if err != nil || len(list) != 1 {
				return fmt.Errorf("%d are scheduled: %w", len(list), err)
			}
			if _, raw := list[0].Envelope.Event.(jitney.RawEvent); !raw {
				return fmt.Errorf("it is a %T, expected a RawEvent", list[0].Envelope.Event)
			}
			return nil
		}),
		with(o, Types(), func(s jitney.ScheduleStore) error { return waiting(ctx, s, 10, a) }),
	)
}
