package jitney

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// scheduler publishes what has become due. It has one goroutine, from the first event, or, with a journal, from the
// first subscription on.
type scheduler struct {
	bus    *Bus
	store  ScheduleStore // nil: the journal keeps no events for later
	memory *memorySchedule

	mu      sync.Mutex
	running bool
	over    bool            // nobody publishes any more
	wake    chan struct{}   // has an element when there may be something that is due earlier
	life    context.Context // of the goroutine
	stop    context.CancelFunc
	stopped chan struct{}
	apart   map[uuid.UUID]bool // cannot be published, or has been, but for those that refuse it
	refused sync.WaitGroup     // the latter
	owed    []Unhandled        // to those who had not taken a due event when it ended

	failures int // in a row; the goroutine's alone

	booking   sync.Mutex // held while an occurrence is entered, or a recurrence ended
	recurring []*Recurrence

	scheduled, unscheduled, published atomic.Uint64 // events
	leftOut                           atomic.Uint64 // occurrences
}

// When a journal is looked at for what other processes have scheduled, and how many events at a time.
const (
	schedulePoll = time.Second
	scheduleStep = 100
)

func newScheduler(b *Bus) *scheduler {
	s := &scheduler{bus: b, wake: make(chan struct{}, 1), stopped: make(chan struct{}), apart: make(map[uuid.UUID]bool)}
	if b.journal != nil {
		if c, says := b.journal.(Capable); !says || slices.Contains(c.Capabilities(), CanSchedule) {
			s.store, _ = b.journal.(ScheduleStore)
		}
	} else {
		s.memory = &memorySchedule{}
		s.store = s.memory
	}
	s.life, s.stop = context.WithCancel(context.Background())
	return s
}

func (s *scheduler) add(ctx context.Context, e Scheduled) error {
	if s.store == nil {
		return ErrNoSchedule
	}
	if err := contain(func() error { return s.store.Schedule(ctx, e) }); err != nil {
		return err
	}
	s.scheduled.Add(1)
	s.begin()
	s.poke()
	return nil
}

// poke has the goroutine look again.
func (s *scheduler) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// subscribed is called when somebody has subscribed: what became due while no process ran is due to them.
func (s *scheduler) subscribed() {
	if s.memory == nil && s.store != nil {
		s.begin()
	}
}

// begin starts the goroutine. With a journal it looks a second later, when all have subscribed.
func (s *scheduler) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running || s.over {
		return
	}
	s.running = true
	after := schedulePoll
	if s.memory != nil {
		after = 0
	}
	go s.run(after)
}

// halt ends the goroutine, waits for it until done, and reports whether it has ended: a synchronous handler may not
// return.
func (s *scheduler) halt(done <-chan struct{}) bool {
	s.stop()
	s.mu.Lock()
	s.over = true
	running := s.running
	s.mu.Unlock()
	if !running {
		return true
	}
	select {
	case <-s.stopped:
		return true
	case <-done:
		return false
	}
}

func (s *scheduler) setApart(id uuid.UUID, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if on {
		s.apart[id] = true
	} else {
		delete(s.apart, id)
	}
}

// next returns the events that are due first, but for those that are set apart.
func (s *scheduler) next() (list []Scheduled, err error) {
	s.mu.Lock()
	n := len(s.apart)
	s.mu.Unlock()
	err = contain(func() (err error) { list, err = s.store.Scheduled(s.life, scheduleStep+n); return err })
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(list, func(e Scheduled) bool { return s.apart[e.ID] }), err
}

// left adds what has not been published to the list of what else is left.
func (s *scheduler) left(list []Unhandled) []Unhandled {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(list)
	list = append(list, s.owed...)
	if s.memory != nil {
		for _, e := range s.memory.close() {
			if s.recurs(e) {
				continue
			}
			if !hangs(e, list[:n]) {
				list = append(list, Unhandled{Envelope: e.Envelope, Due: e.At})
			}
		}
	}
	return list
}

// hangs reports whether e is with handlers that do not return, and notes there that it is being published.
func hangs(e Scheduled, list []Unhandled) (found bool) {
	for i := range list {
		if u := &list[i]; u.Running && u.Envelope == e.Envelope {
			u.Due, found = e.At, true
		}
	}
	return found
}

func (s *scheduler) run(after time.Duration) {
	defer close(s.stopped)
	defer s.refused.Wait()
	wait := after
	for s.life.Err() == nil {
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-s.woken(after):
			t.Stop()
		case <-s.life.Done():
			t.Stop()
			return
		}
		after = 0
		wait = s.round()
	}
}

// woken is what wakes the goroutine early: nothing before the first look.
func (s *scheduler) woken(after time.Duration) <-chan struct{} {
	if after > 0 {
		return nil
	}
	return s.wake
}

// round publishes what is due, and returns how long there is nothing to do.
func (s *scheduler) round() (wait time.Duration) {
	wait = s.book()
	list, err := s.next()
	if s.memory == nil { // or else Schedule wakes
		wait = min(wait, schedulePoll)
	}
	for _, e := range list {
		if err != nil || s.life.Err() != nil {
			break
		}
		if left := time.Until(e.At); left > 0 {
			s.failures = 0
			return min(wait, left)
		}
		err = s.publish(e)
		wait = 0 // there may be more
	}
	if err == nil {
		s.failures = 0
		return wait
	}
	if s.failures++; powerOfTwo(s.failures) && s.life.Err() == nil {
		s.bus.log(s.life, slog.LevelError, "jitney: scheduled events cannot be published, will try again",
			slog.Int("times", s.failures), slog.String("error", errorText(err)))
	}
	wait, _ = storePolicy.Next(s.failures, 0, 0.5)
	return wait
}

// publish publishes a due event, and forgets it. An error is worth another try.
func (s *scheduler) publish(e Scheduled) error {
	b := s.bus
	err := e.Err
	var p posting
	if err == nil {
		p, err = b.address(s.life, e.Envelope, nil)
	}
	if err != nil {
		s.giveUp(e, err)
		return nil
	}
	p.due = true
	err = b.post(s.life, []posting{p})
	var refused *PublishError
	switch {
	case errors.As(err, &refused):
		s.setApart(e.ID, true)
		s.refused.Go(func() { s.insist(e, refused) })
		s.published.Add(1)
		return nil
	case is(err, ErrIDConflict) && e.ID.Version() == versionOfOccurrences: // another process was as quick, with other headers
		return s.forget(e)
	case is(err, ErrIDConflict):
		s.giveUp(e, err)
		return nil
	case err != nil:
		return err
	}
	s.published.Add(1)
	return s.forget(e)
}

// forget removes an event that has been published.
func (s *scheduler) forget(e Scheduled) error {
	err := contain(func() error { return s.store.Unschedule(context.WithoutCancel(s.life), e.ID) })
	if is(err, ErrNotScheduled) {
		return nil // another process was as quick
	}
	return err
}

// giveUp says once that an event cannot be published. It stays where it is.
func (s *scheduler) giveUp(e Scheduled, err error) {
	s.setApart(e.ID, true)
	s.bus.log(s.life, slog.LevelError, "jitney: scheduled event cannot be published, it is kept",
		slog.String("event.id", e.ID.String()), slog.Time("at", e.At), slog.String("error", errorText(err)))
}

// insist has those take an event whose queues have refused it, beside what becomes due meanwhile.
func (s *scheduler) insist(e Scheduled, refused *PublishError) {
	for times := 1; refused != nil; times++ {
		names := s.refusers(refused)
		if len(names) == 0 {
			break
		}
		if powerOfTwo(times) {
			s.bus.log(s.life, slog.LevelWarn, "jitney: scheduled event was refused, will try again",
				slog.Any("event", e.Envelope), slog.Any("subscribers", names), slog.Int("times", times))
		}
		wait, _ := storePolicy.Next(times, 0, 0.5)
		if sleep(s.life, s.life, wait) != nil {
			s.owe(e, names)
			break
		}
		p, err := s.bus.address(s.life, e.Envelope, names)
		if err == nil {
			err = s.bus.post(s.life, []posting{p})
		}
		var still *PublishError
		if errors.As(err, &still) || err == nil {
			refused = still
		} // or else one of them has just been closed, and does not count the next time
	}
	if s.forget(e) == nil { // or else it stays apart, and a later process publishes it once more
		s.setApart(e.ID, false)
	}
}

// refusers are those whose queues have refused. What a synchronous handler has returned stands: its subscription has
// done with it what it does with failures.
func (s *scheduler) refusers(refused *PublishError) (names []string) {
	for _, r := range refused.Refusals {
		if sub := s.bus.routes.named(r.Subscriber); sub != nil && !sub.sync {
			names = append(names, r.Subscriber)
		}
	}
	return names
}

func (s *scheduler) owe(e Scheduled, names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		s.owed = append(s.owed, Unhandled{Envelope: e.Envelope, Subscriber: name, Due: e.At})
	}
}
