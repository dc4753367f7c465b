package jitney

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
)

// Scheduled is an event that is to be published at a time.
type Scheduled struct {
	ID uuid.UUID // the envelope's
	At time.Time
	// Envelope has At as its Time. It is nil if Err is not.
	Envelope *Envelope
	// Err says why it cannot be read. It is kept, and never published.
	Err error
}

// ScheduleStore keeps events until their time. A Journal that implements it keeps them as durably as the others; one
// that does not, or is [Capable] and says that it cannot, cannot be used with Schedule. Its methods may be called by several goroutines at once.
//
// Implementations must pass jitneytest.TestScheduleStore.
type ScheduleStore interface {
	// Schedule stores an event. ErrIDConflict if one of its ID is there.
	Schedule(ctx context.Context, s Scheduled) error
	// Unschedule removes the event of that ID, or returns an error that wraps ErrNotScheduled.
	Unschedule(ctx context.Context, id uuid.UUID) error
	// Scheduled returns the first events by their time, and among equals by their ID; at most so many.
	Scheduled(ctx context.Context, most int) ([]Scheduled, error)
}

// What Schedule and Unschedule answer.
var (
	// ErrNotScheduled: no event of that ID waits for its time; it has been published, perhaps.
	ErrNotScheduled = errors.New("no such scheduled event")
	// ErrScheduleFull: 100,000 events wait in memory.
	ErrScheduleFull = errors.New("schedule is full")
	// ErrNoSchedule: the journal keeps no events for later. It is an errors.ErrUnsupported.
	ErrNoSchedule = unsupported("journal keeps no events for later")
)

// lastTime is the last that Unix nanoseconds of 64 bits can tell.
var lastTime = time.Unix(0, math.MaxInt64).UTC()

// Schedule has e published at a time, or at once if that is past, and returns its ID, by which it can be unscheduled.
// The envelope is made now, with correlation and cause from ctx, and publish hooks see it now; its Time is at, or now if
// that is past.
//
// Without a journal the events wait in memory, 100,000 at most, and what is left at Shutdown is returned by it. With a
// journal they outlive the process, are published by whichever process notices first that they are due, within a second
// of its clock, and once: but for subscriptions WithEphemeral and WithSync, which may hear one again after a death.
// Those that became due while no process ran are published a second after the first Subscribe.
//
// A subscriber whose queue refuses the event when it is due is tried again until it takes it. Flush does not wait for
// what is scheduled. The errors are those of Publish before anything has been accepted, ErrScheduleFull, ErrNoSchedule,
// ErrInvalidEnvelope for a time after the year 2262, and the journal's.
func (b *Bus) Schedule(ctx context.Context, at time.Time, e Event) (id uuid.UUID, err error) {
	if err := b.admit(ctx, "schedule", e); err != nil {
		return id, err
	}
	if at.After(lastTime) {
		return id, fmt.Errorf("jitney: schedule %T: %w: its time %s is after %s", e, ErrInvalidEnvelope, at, lastTime)
	}
	now := b.clock.now()
	later := Scheduled{At: time.Unix(0, now)}
	if at.After(later.At) {
		later.At = time.Unix(0, at.UnixNano())
	}
	p := posting{later: &later}
	if err = b.seal(ctx, e, now, &p); err == nil {
		p.env.Time = later.At
		later.ID, later.Envelope = p.env.ID, p.env
		err = b.schedule.add(ctx, later)
	}
	if p.ctx != nil {
		published(p.ctx, nil, err)
	}
	if err != nil {
		return id, fmt.Errorf("jitney: schedule %T: %w", e, err)
	}
	return p.env.ID, nil
}

// Unschedule keeps an event from being published that waits for its time; an error that wraps ErrNotScheduled says that
// it does not.
func (b *Bus) Unschedule(ctx context.Context, id uuid.UUID) error {
	err := ErrNoSchedule
	if b.schedule.store != nil {
		err = contain(func() error { return b.schedule.store.Unschedule(ctx, id) })
	}
	if err == nil {
		b.schedule.unscheduled.Add(1)
	}
	if err != nil {
		return fmt.Errorf("jitney: unschedule %s: %w", id, err)
	}
	return nil
}

// Scheduled returns the events that wait for their time, the next one first, at most so many. ErrNoSchedule says that
// Schedule would fail: a program that needs it asks when it starts.
func (b *Bus) Scheduled(ctx context.Context, most int) (list []Scheduled, err error) {
	if b.schedule.store == nil {
		return nil, fmt.Errorf("jitney: scheduled events: %w", ErrNoSchedule)
	}
	err = contain(func() (err error) { list, err = b.schedule.store.Scheduled(ctx, most); return err })
	if err != nil {
		return nil, fmt.Errorf("jitney: scheduled events: %w", err)
	}
	return list, nil
}
