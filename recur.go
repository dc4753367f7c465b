package jitney

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Timetable says when something recurs. The schedules of cron libraries are timetables.
type Timetable interface {
	// Next returns the first time after t, or the zero time if there is none.
	Next(t time.Time) time.Time
}

// Every is a timetable: each multiple of a duration, such as each full minute of UTC. So several processes agree on it.
type Every time.Duration

// Next implements [Timetable].
func (d Every) Next(t time.Time) time.Time { return t.Truncate(time.Duration(d)).Add(time.Duration(d)) }

// Recurrence is what Recur has begun.
type Recurrence struct {
	scheduler *scheduler
	name      string
	when      Timetable
	event     func(at time.Time) Event
	at        string // where Recur was called

	next     time.Time // it is booked until here; guarded by scheduler.booking
	failures int       // to book it, in a row; the scheduler's goroutine's alone
}

// Recur has an event published at each time of a timetable; event makes it, ahead of its time. One occurrence at a time
// is scheduled (see Schedule), the next one when that is due. Its ID follows from name and time: several processes that
// share a journal and have the same recurrence schedule it once, and publish it once. So name, which is the
// application's, must not change, nor stand for two recurrences.
//
// On a journal the occurrence that is scheduled outlives the process. Those that would have followed while no process
// ran are left out. In memory, one that is not due at Shutdown is not returned by it.
//
// An event func that panics, or an event that Publish would refuse, costs this occurrence, and is logged and counted
// (BusStats.LeftOut). A timetable that panics or does not go forward ends the recurrence, and is logged too. Recur panics
// if there is no name, timetable or event func, for an Every that is not positive, if the name is taken, or if the
// journal keeps no events for later. After Shutdown nothing recurs, which is logged.
func (b *Bus) Recur(name string, when Timetable, event func(at time.Time) Event) *Recurrence {
	s := b.schedule
	r := &Recurrence{scheduler: s, name: name, when: when, event: event, at: caller()}
	if err := r.check(); err != nil {
		panic(fmt.Sprintf("jitney: Recur %q at %s: %v", clip(name, maxName), r.at, err))
	}
	if other := s.enlist(r); other != nil {
		panic(fmt.Sprintf("jitney: Recur %q at %s: the name is taken by that at %s", clip(name, maxName), r.at, other.at))
	}
	if b.closing.Load() {
		b.log(s.life, slog.LevelWarn, "jitney: recurs after shutdown", slog.String("recurrence", name), slog.String("called_at", r.at))
	}
	s.begin()
	s.poke()
	return r
}

// check says what is wrong with the call.
func (r *Recurrence) check() error {
	every, is := r.when.(Every)
	switch {
	case r.name == "" || r.when == nil || r.event == nil:
		return errors.New("name, timetable and event func are needed")
	case is && every <= 0:
		return fmt.Errorf("it happens every %s, which does not go forward", time.Duration(every))
	case r.scheduler.store == nil:
		return ErrNoSchedule
	}
	return nil
}

// enlist adds a recurrence, or returns the one that has its name.
func (s *scheduler) enlist(r *Recurrence) (other *Recurrence) {
	s.booking.Lock()
	defer s.booking.Unlock()
	if i := slices.IndexFunc(s.recurring, func(other *Recurrence) bool { return other.name == r.name }); i >= 0 {
		return s.recurring[i]
	}
	s.recurring = append(s.recurring, r)
	return nil
}

// Stop ends the recurrence in this process, and unschedules the occurrence that is to come, which other processes that
// share the journal will not publish either. The error is the journal's; it has ended all the same.
// It may be called by several goroutines at once.
func (r *Recurrence) Stop(ctx context.Context) error {
	s := r.scheduler
	at := s.strike(r)
	if at.IsZero() {
		return nil
	}
	if err := s.bus.Unschedule(ctx, occurrence(r.name, at)); !is(err, ErrNotScheduled) {
		return err
	}
	return nil
}

// strike ends a recurrence, and returns when it is booked for.
func (s *scheduler) strike(r *Recurrence) time.Time {
	s.booking.Lock()
	defer s.booking.Unlock()
	s.recurring = slices.DeleteFunc(s.recurring, func(other *Recurrence) bool { return other == r })
	return r.next
}

const versionOfOccurrences = 8

// occurrence is the ID of a recurrence's event at a time: a UUID of version 8 that begins with the time, as those of
// version 7 do, and goes on with a hash.
func occurrence(name string, at time.Time) (id uuid.UUID) {
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(at.UnixMilli()))
	hash := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(name), uint64(at.UnixNano())))
	copy(id[:6], ms[2:])
	copy(id[6:], hash[:])
	id[6] = id[6]&0x0f | versionOfOccurrences<<4
	id[8] = id[8]&0x3f | 0x80
	return id
}

// book schedules the next occurrence of each recurrence whose last one is due, and returns how long there is nothing to
// book then.
func (s *scheduler) book() (wait time.Duration) {
	again := false
	for _, r := range s.due(time.Now()) {
		now := time.Now()
		at, err := r.after(now)
		if err != nil || at.IsZero() {
			s.strike(r)
			s.bus.log(s.life, slog.LevelWarn, "jitney: recurrence has ended",
				slog.String("recurrence", r.name), slog.String("error", errorText(err)))
			continue
		}
		e, err := s.occur(r, at)
		if err != nil {
			if s.bus.closing.Load() {
				break // it is left to other processes
			}
			s.leftOut.Add(1)
			s.bus.log(s.life, slog.LevelError, "jitney: occurrence left out",
				slog.String("recurrence", r.name), slog.Time("at", at), slog.String("error", errorText(err)))
		}
		err = s.enter(r, e)
		if again = again || err != nil; err == nil {
			r.failures = 0
		} else if r.failures++; powerOfTwo(r.failures) && s.life.Err() == nil {
			s.bus.log(s.life, slog.LevelError, "jitney: occurrence cannot be scheduled, will try again",
				slog.String("recurrence", r.name), slog.Time("at", at), slog.Int("times", r.failures), slog.String("error", errorText(err)))
		}
	}
	return s.untilBooking(again)
}

// untilBooking is how long it is until the next booking, or, if one is worth another try, not longer than a while.
func (s *scheduler) untilBooking(again bool) time.Duration {
	s.booking.Lock()
	defer s.booking.Unlock()
	wait := time.Hour
	if again {
		wait = schedulePoll
	}
	for _, r := range s.recurring {
		if left := time.Until(r.next); left > 0 {
			wait = min(wait, left)
		}
	}
	return wait
}

// due are the recurrences that are booked no further than now.
func (s *scheduler) due(now time.Time) (list []*Recurrence) {
	s.booking.Lock()
	defer s.booking.Unlock()
	for _, r := range s.recurring {
		if !r.next.After(now) {
			list = append(list, r)
		}
	}
	return list
}

// after returns when r happens next; zero if never.
func (r *Recurrence) after(now time.Time) (at time.Time, err error) {
	err = contain(func() error { at = r.when.Next(now); return nil })
	if at.After(lastTime) {
		at = time.Time{} // never, as far as a clock of nanoseconds goes
	}
	if err == nil && !at.IsZero() && !at.After(now) {
		err = fmt.Errorf("its timetable does not go forward: %s comes after %s", at, now)
	}
	return at, err
}

// occur makes r's event of a time. If that fails, what it returns has no envelope.
func (s *scheduler) occur(r *Recurrence, at time.Time) (Scheduled, error) {
	var e Event
	err := contain(func() error { e = r.event(at); return nil })
	later := Scheduled{ID: occurrence(r.name, at), At: at}
	p := posting{later: &later}
	if err == nil {
		err = s.bus.seal(s.life, e, s.bus.clock.now(), &p)
	}
	if p.ctx != nil {
		published(p.ctx, nil, err)
	}
	if err != nil {
		return Scheduled{At: at}, err
	}
	p.env.ID, p.env.Time = later.ID, at
	later.Envelope = p.env
	return later, nil
}

// enter schedules an occurrence of r, unless r has ended. Another process may have done so before.
func (s *scheduler) enter(r *Recurrence, e Scheduled) error {
	s.booking.Lock()
	defer s.booking.Unlock()
	if !slices.Contains(s.recurring, r) {
		return nil
	}
	if e.Envelope != nil {
		switch err := contain(func() error { return s.store.Schedule(s.life, e) }); {
		case err == nil:
			s.scheduled.Add(1)
		case !is(err, ErrIDConflict):
			return err
		}
	}
	r.next = e.At
	return nil
}

// recurs reports whether an event that is not due yet is an occurrence: nobody has been promised it.
func (s *scheduler) recurs(e Scheduled) bool {
	s.booking.Lock()
	defer s.booking.Unlock()
	return slices.ContainsFunc(s.recurring, func(r *Recurrence) bool {
		return e.At.Equal(r.next) && e.ID == occurrence(r.name, r.next) && e.At.After(time.Now())
	})
}
