package jitney

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
)

// Subscription is one subscriber's place on a bus: a handler, its queue and its account. Its methods may be called by
// several goroutines at once.
type Subscription struct {
	name string
	bus  *Bus
	want reflect.Type // the events' type, or an interface they implement
	typ  string       // the events' name, or the interface's
	at   string       // where Subscribe was called

	sync        bool
	answers     bool // questions, not events
	picky       bool // it has filters
	sticky      bool // it begins with what the bus has kept
	timeout     time.Duration
	retry       RetryPolicy
	letters     DeadLetterStore
	inbox       Inbox
	businessKey func(Event) string
	fair        *FairShare

	measured      sync.Map              // measured → []metric.RecordOption
	handledOption []metric.RecordOption // of what needs no look-up
	queuedOption  []metric.RecordOption

	feed    *feed   // nil unless durable
	handle  Handler // the whole chain
	plain   bool    // it is but the handler
	queue   queue
	workers atomic.Int32 // goroutines that run

	goroutines sync.WaitGroup

	life context.Context // of the deliveries; ends at a deadline
	kill context.CancelCauseFunc

	left bool // out of the routes; guarded by routes.mu

	closing sync.Once
	hurry   context.CancelCauseFunc // ends the patience of Close
	patient context.Context
	closed  chan struct{} // Close is done, with the result
	result  error

	filters filters
}

// Subscribe makes handler handle the events of type T that are published from now on. name says who is
// asking: it is 1 to 200 bytes of printable UTF-8 without spaces, no other open subscription of the bus
// has it, and logs, dead letters and Forward know the subscriber by it. It is free again when Close has returned; a
// durable subscription's place stays in the journal under it.
//
// T is an event's own type; or an interface, and then handler gets every event that implements it, in
// the order of Publish: [Event] for all events, an interface of a module's own for its family.
//
// Events are handled one at a time, in a goroutine of the subscription; see WithWorkers and WithSync.
// What handler returns decides: nil settles the delivery; see also Permanent, Skip and RetryAfter. The
// ctx it gets carries the delivery (FromContext), the trace context, the correlation id and the baggage that
// WithBaggage allows, and nothing else of the publisher's, unless WithSync; it ends when the handler returns, at
// WithTimeout, and at the deadline of Shutdown or Close, and context.Cause tells which.
//
// Subscribe panics when it is called wrongly: with a nil handler, a name that is invalid, taken, or open in the journal
// already (ErrInUse), a T that is a question or whose event name belongs to another Go type, a filter of another type,
// or options that contradict each other. On a bus that has been shut down it returns a subscription that is closed.
func Subscribe[T Event](b *Bus, name string, handler func(ctx context.Context, e T) error, opts ...SubscribeOption) *Subscription {
	if b == nil || handler == nil {
		panic(fmt.Sprintf("jitney: Subscribe %q: nil bus or handler, at %s", name, caller()))
	}
	return subscribe(b, name, reflect.TypeFor[T](), func(ctx context.Context, e Event) error {
		t, ok := e.(T)
		if !ok { // routing is by type: a middleware has passed on something else
			return Permanent(fmt.Errorf("jitney: %s takes %s, a middleware gave it %T", name, reflect.TypeFor[T](), e))
		}
		return handler(ctx, t)
	}, opts)
}

func subscribe(b *Bus, name string, want reflect.Type, h Handler, opts []SubscribeOption) *Subscription {
	c := newSubscribeConfig(b.defaults, opts)
	s := open(b, name, want, &c)
	if !s.sync {
		s.restrain(&c)
	}
	if b.journal != nil && !s.sync && !c.ephemeral {
		s.queue.overflow = Block
		s.feed = newFeed(s, c.from, c.effects)
	}
	if c.batches {
		s.queue.batching = &batching{most: c.batch, wait: c.batchWait, hurry: &b.flushing}
	}
	s.queue.init(c.workers)
	s.handle = s.chain(h, c.middlewares)
	s.start(max(c.workers, 1))
	return s
}

// open makes a subscription whose queue lets nobody in yet, or panics.
func open(b *Bus, name string, want reflect.Type, c *subscribeConfig) *Subscription {
	s := &Subscription{
		name: name, bus: b, want: want, typ: want.String(), at: caller(),
		sync: c.sync, answers: c.answers, timeout: c.timeout, retry: c.retry,
		letters: c.letters, inbox: c.inbox, businessKey: c.businessKey,
		picky: len(c.filters) > 0, filters: filters{list: c.filters},
		queue:  queue{limit: c.buffer, reserve: c.reserve, overflow: c.overflow},
		closed: make(chan struct{}),
	}
	eventName, err := s.check(c)
	if err != nil {
		s.reject(err)
	}
	if want.Kind() != reflect.Interface {
		s.typ = eventName
	}
	s.life, s.kill = context.WithCancelCause(context.Background())
	s.patient, s.hurry = context.WithCancelCause(context.Background())
	s.queue.watchdog = watchdog{slow: c.slow, look: s.look}
	s.queue.settled = b.bell.ring
	s.queue.news.spread = s.spread
	s.handledOption, s.queuedOption = s.about(measured{outcome: outcomes[handled]}), s.about(measured{})
	return s
}

// reject says what is wrong with the call that made s.
func (s *Subscription) reject(err error) {
	call := "Subscribe"
	if s.answers {
		call = "Answer"
	}
	panic(fmt.Sprintf("jitney: %s %q at %s: %v", call, clip(s.name, maxName), s.at, err))
}

// restrain sets up what holds deliveries back: parking, breaker, fair shares.
func (s *Subscription) restrain(c *subscribeConfig) {
	s.queue.parking.limit = c.parking
	if c.breaker != nil {
		s.queue.gate.breaker = newBreaker(*c.breaker)
	}
	if c.fair != nil {
		s.fair = c.fair
		s.queue.shares = &shares{byName: make(map[string]*share)}
		c.workers = max(c.workers, 1)
	}
}

// check finds what is wrong with the call, and the event's name.
func (s *Subscription) check(c *subscribeConfig) (eventName string, err error) {
	if err := checkName(s.name); err != nil {
		return "", err
	}
	if c.parking > 0 && !c.sync && c.letters == nil {
		return "", errors.New("WithParking without WithDeadLetters: nobody could let go what is parked")
	}
	switch {
	case c.batches && c.sync:
		return "", errors.New("SubscribeBatch WithSync: a publisher's goroutine has one event to handle, not a batch")
	case c.batches && c.fair != nil:
		return "", errors.New("SubscribeBatch WithFairShare: a batch is of all shares at once")
	}
	for _, f := range c.filters {
		if err := f.fits(s.want); err != nil {
			return "", err
		}
	}
	if err := s.checkSticky(c); err != nil {
		return "", err
	}
	if s.want.Kind() == reflect.Interface {
		if s.answers {
			return "", fmt.Errorf("%s is an interface; a question is of one Go type", s.want)
		}
		return "", nil
	}
	return nameOfType(s.want)
}

// start lets the events in. The workers come with the first of them: the garbage collector looks at every
// goroutine, and many a subscription hears nothing for long.
func (s *Subscription) start(workers int) {
	if !s.sync {
		s.queue.staff = func() {
			s.workers.Add(int32(workers)) // somebody may be telling news already
			s.goroutines.Add(workers)
			for range workers {
				if s.queue.batching != nil {
					go s.workBatches(&batch{}, nil)
				} else {
					go s.work(nil, nil)
				}
			}
		}
		s.queue.reckon()
	}
	err := s.join()
	if err == nil && s.feed != nil {
		if err = s.feed.begin(); err != nil {
			s.bus.routes.leave(s)
			s.bus.routes.forget(s)
		}
	}
	if err == nil {
		if !s.answers {
			s.bus.schedule.subscribed()
		}
		return
	}
	s.queue.refuse(err, err)
	s.closing.Do(func() { close(s.closed) })
	if !is(err, ErrClosed) {
		s.reject(err)
	}
	s.bus.log(s.life, slog.LevelWarn, "jitney: subscribed after shutdown",
		slog.String("subscriber", s.name), slog.String("subscribed_at", s.at))
}

// join has publishers find s.
func (s *Subscription) join() error {
	if s.sticky {
		return s.bus.retention.welcome(s)
	}
	return s.bus.routes.add(s, nil)
}

// wants reports whether events of Go type t are for s.
func (s *Subscription) wants(t reflect.Type) bool {
	if s.want.Kind() == reflect.Interface {
		return t.Implements(s.want)
	}
	return t == s.want
}

// Name returns the subscriber's name.
func (s *Subscription) Name() string { return s.name }

// EventType returns the name of the events that s takes; for an interface the interface's Go name.
func (s *Subscription) EventType() string { return s.typ }

// Family reports whether s takes the events that implement an interface, not those of one type.
func (s *Subscription) Family() bool { return s.want.Kind() == reflect.Interface }

// Durable reports whether a journal feeds s, and knows how far it is.
func (s *Subscription) Durable() bool { return s.feed != nil }

// Stats returns s's account at this moment.
func (s *Subscription) Stats() Stats {
	st := s.queue.snapshot()
	st.Filtered, st.FilterErrors = s.filters.out.Load(), s.filters.failed.Load()
	return st
}

// offer puts p into s's queue, or returns where its publisher has to wait for room.
func (s *Subscription) offer(p parcel, inside bool) (w *waiter, err error) {
	if s.fair != nil {
		claim, err := s.fair.claim(p.env)
		if err != nil && p.position() > 0 { // nobody is there to be told, and it is not to be lost
			claim, err = &noClaim, nil
		}
		if err != nil {
			s.queue.count(func(st *Stats) { st.Refused++ })
			return nil, err
		}
		p = p.claiming(claim)
	}
	w, dropped, err := s.queue.offer(p, inside)
	s.dropped(dropped)
	return w, err
}

// submit puts p into s's queue, and waits for room if it must.
func (s *Subscription) submit(ctx context.Context, p parcel) error {
	w, err := s.offer(p, false)
	if w == nil {
		return err
	}
	timeout := time.NewTimer(s.bus.publishTimeout)
	defer timeout.Stop()
	return s.queue.await(ctx, w, timeout)
}

// dropped tells that e was given up for another delivery: the 1st, 2nd, 4th, 8th … time.
func (s *Subscription) dropped(e *entry) {
	if e == nil {
		return
	}
	s.bus.recorders.dropped(s, e)
	if e.again() != nil {
		s.bus.conclude(e.again(), errDropped)
	}
	n := s.Stats().Dropped
	if powerOfTwo(n) {
		s.bus.log(s.life, slog.LevelWarn, "jitney: delivery dropped, queue full",
			slog.String("subscriber", s.name), slog.Any("event", e.env),
			slog.Uint64("dropped_in_all", n), slog.String("subscribed_at", s.at))
	}
}
