package jitney

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"
)

// verdict is what becomes of a delivery after an attempt.
type verdict struct {
	ending ending
	wait   time.Duration // before the next attempt
	kept   bool          // the journal knows of that
	mute   bool          // the breaker has seen another of its batch
}

type ending uint8

const (
	handled ending = iota
	skipped
	dead
	again       // another attempt, after verdict.wait
	held        // no fault of the handler's: on after verdict.wait, when a store may work again
	spared      // failed while the breaker is not closed, on when it lets the delivery through; or in a batch, on in a smaller one
	untried     // the handler of its batch has not come to it
	recalled    // given back to the journal, for another process
	failed      // a question without an answer: its asker has the error
	interrupted // neither ended nor tried again: Shutdown or Close will name it
)

func (end ending) final() bool { return end != again && end != held && end != spared && end != untried }

// result is how one attempt went.
type result struct {
	err     error
	entered bool // the handler was called, as far as is known
	late    bool
	of      *batch // that it was a part of; or nil
}

// work is a worker: it runs deliveries until there are no more. A delivery whose code ends the goroutine
// with runtime.Goexit is passed on to a new worker that takes this one's place, with lost as its failure.
func (s *Subscription) work(e *entry, lost error) {
	defer func() {
		if e == nil {
			s.workers.Add(-1)
			s.bus.bell.ring()
			s.goroutines.Done()
			return
		}
		go s.work(e, &PanicError{Goexit: true, Stack: stack()})
	}()
	if e == nil {
		e = s.queue.take()
	}
	for e != nil {
		v := s.deliver(e, lost)
		lost = nil
		e = s.turn(e, v)
	}
}

// turn settles e and takes the next delivery.
func (s *Subscription) turn(e *entry, v verdict) *entry {
	if e.position() > 0 && v.ending == again {
		s.feed.postponed(e, &v)
	}
	if e.rare == nil || !v.ending.final() {
		return s.queue.turn(e, v)
	}
	r := e.again()
	if at := e.position(); at > 0 { // before the queue: who waits for it to be empty may end the process
		s.feed.settled(at, v.ending)
	}
	s.queue.settle(e, v)
	if r != nil {
		s.bus.redelivered(r)
	}
	return s.queue.take()
}

// deliver makes one attempt, or learns of its failure, and says what becomes of e.
func (s *Subscription) deliver(e *entry, lost error) verdict {
	burying, number := e.file != nil && e.file.letter != nil, e.attempt()
	switch {
	case burying && lost != nil:
		return s.unburied(e, lost)
	case burying:
		return s.told(e, s.bury(e), tried{number: number - 1})
	case e.progress() != nil:
		return s.takeUp(e)
	case e.crashes() >= maxCrashes:
		return s.told(e, s.condemn(e), tried{number: number})
	case lost != nil:
		v := s.judge(s.bus.carried(s.life, e.env), e, result{err: lost, entered: true})
		return s.told(e, v, tried{number: number})
	}
	return s.try(s.bus.carried(s.life, e.env), e)
}

// try makes one attempt, under the eyes of telemetry and recorders if there are any.
func (s *Subscription) try(ctx context.Context, e *entry) verdict {
	if t := &s.bus.telemetry; t.tracer != nil || t.meter != nil || s.bus.recorders != nil {
		return s.watch(ctx, t, e)
	}
	r := s.attempt(ctx, e)
	if r.err == nil && !r.late && e.rare == nil {
		return verdict{ending: handled} // as judge would say
	}
	return s.judge(ctx, e, r)
}

// deliverSync runs p in its publisher's goroutine, attempt after attempt, and returns the last error.
func (s *Subscription) deliverSync(ctx context.Context, p parcel, inside bool) error {
	e, err := s.queue.begin(p, inside)
	if err != nil {
		return err
	}
	settled := false
	defer func() {
		if !settled { // runtime.Goexit ends the publisher's goroutine, as it asked to
			number := e.attempt()
			v := s.giveUp(ctx, e, &PanicError{Goexit: true, Stack: stack()})
			s.settleSync(e, s.told(e, v, tried{number: number}))
		}
	}()
	v := s.try(ctx, e)
	for v.ending == again {
		s.queue.hold(e)
		if cause := sleep(ctx, s.life, v.wait); cause != nil {
			v = s.told(e, s.abandon(ctx, e, cause), tried{number: e.attempt() - 1})
			break
		}
		s.queue.resume(e)
		v = s.try(ctx, e)
	}
	err = nil
	if v.ending == dead || v.ending == interrupted {
		err = e.file.last
	}
	settled = true
	s.settleSync(e, v)
	return err
}

func (s *Subscription) settleSync(e *entry, v verdict) {
	r := e.again()
	s.queue.finish(e, v)
	if r != nil {
		s.bus.redelivered(r)
	}
}

// sleep waits for d, and returns why not if a context ends first.
func sleep(ctx, life context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-life.Done():
		return context.Cause(life)
	}
}

// attempt calls the handler once, through the chain.
func (s *Subscription) attempt(parent context.Context, e *entry) (r result) {
	c := e.scope
	if e.scope = nil; c == nil {
		c = new(scope)
	}
	c.env, c.sub, c.parent, c.attempt = e.env, s, parent, int32(e.attempt())
	if e.again() != nil {
		c.redeliveries = int32(e.again().letter.Redeliveries + 1)
	}
	defer c.end()
	r.err = s.call(c, e.env.Event)
	r.entered, r.late = s.plain || c.entered(), c.late()
	return r
}

// call calls the chain, whose middlewares are anybody's code.
func (s *Subscription) call(ctx context.Context, e Event) (err error) {
	defer containInto(&err)
	return s.handle(ctx, e)
}

// judge says what becomes of e after an attempt. It looks into r's error, whose methods are anybody's
// code, and calls the retry policy, which is too.
func (s *Subscription) judge(ctx context.Context, e *entry, r result) (v verdict) {
	if r.err == nil {
		if r.late {
			s.queue.count(func(st *Stats) { st.Late++ })
		}
		return s.finish(e, verdict{ending: handled}, nil)
	}
	if s.answers {
		e.open().last = r.err
		return verdict{ending: failed}
	}
	if err := contain(func() error { v = s.judgeFailure(ctx, e, r); return nil }); err != nil {
		return s.giveUp(ctx, e, err)
	}
	return v
}

func (s *Subscription) judgeFailure(ctx context.Context, e *entry, r result) verdict {
	if is(r.err, ErrDuplicate) && !r.entered {
		return s.skip(ctx, e, r.err)
	}
	if st := steering(r.err); st != nil && st.way == waySkip {
		return s.skip(ctx, e, r.err)
	}
	f := e.open()
	if s.life.Err() != nil {
		f.last = r.err
		return s.finish(e, verdict{ending: interrupted}, r.err)
	}
	if in, ok := r.err.(*inboxError); ok && !s.sync {
		s.storeFailed(ctx, e, "jitney: inbox failed, its delivery is held", in.err)
		return s.hold(e)
	}
	reused := is(r.err, ErrKeyReuse) && !r.entered // no outage: the handler was not called
	if !reused && s.spares(e, r) {
		f.last = r.err
		return verdict{ending: spared}
	}
	now := r.time()
	f.holds = 0
	f.record(r.err, now)
	if reused {
		return s.die(ctx, e, ReasonPermanent, now)
	}
	wait, again_, reason := s.next(f, r, now)
	if again_ {
		return verdict{ending: again, wait: wait}
	}
	return s.die(ctx, e, reason, now)
}

// spares reports whether the breaker spares e its attempt. It sees a batch once.
func (s *Subscription) spares(e *entry, r result) bool {
	b := s.queue.gate.breaker
	switch {
	case b == nil || !b.counts(r.err):
		return false
	case r.of == nil:
		return s.queue.failed(e, r.err, asked(r.err))
	case !r.of.counted:
		r.of.counted = true
		r.of.spared = s.queue.failed(e, r.err, asked(r.err))
	}
	return r.of.spared
}

func (r result) time() time.Time {
	if r.of != nil {
		return r.of.now
	}
	return time.Now()
}

func (r result) random() float64 {
	if r.of != nil {
		return r.of.random
	}
	return rand.Float64()
}

// giveUp ends a delivery whose failure could not even be judged.
func (s *Subscription) giveUp(ctx context.Context, e *entry, err error) verdict {
	now := time.Now()
	e.open().record(err, now)
	return s.die(ctx, e, ReasonExhausted, now)
}

// abandon ends a synchronous delivery whose next attempt could not be waited for.
func (s *Subscription) abandon(ctx context.Context, e *entry, cause error) verdict {
	e.file.last = fmt.Errorf("%w, while waiting for another attempt after: %w", cause, e.file.last)
	if s.life.Err() != nil {
		return s.finish(e, verdict{ending: interrupted}, e.file.last)
	}
	return s.die(ctx, e, ReasonAbandoned, time.Now())
}

func (s *Subscription) die(ctx context.Context, e *entry, reason string, now time.Time) verdict {
	e.file.letter = s.letter(e, reason, now)
	s.mourn(ctx, e.file.letter)
	return s.bury(e)
}

// attempt is the number of e's attempt that is next, or under way.
func (e *entry) attempt() int {
	if e.file == nil {
		return 1
	}
	return e.file.attempts + 1
}

// open returns e's file, begun if need be.
func (e *entry) open() *file {
	if e.file == nil {
		e.file = &file{}
	}
	return e.file
}

// finish is the one way to the end of a delivery: what came from a dead letter goes back to it.
func (s *Subscription) finish(e *entry, v verdict, err error) verdict {
	if e.again() != nil {
		s.answer(e.again(), v, err)
	}
	return v
}

// storePolicy paces the tries when an inbox or a letter store does not work.
var storePolicy = Retry{Attempts: 1 << 30, Base: 100 * time.Millisecond, Max: 30 * time.Second, Jitter: EqualJitter}

// hold keeps e in its place until a store may work again. No attempt is used up.
func (s *Subscription) hold(e *entry) verdict {
	wait, _ := storePolicy.Next(e.file.holds, 0, s.random())
	return verdict{ending: held, wait: wait}
}

// storeFailed counts a store's failure, and logs the 1st, 2nd, 4th, 8th … in a row for one delivery.
func (s *Subscription) storeFailed(ctx context.Context, e *entry, text string, err error) {
	s.queue.count(func(st *Stats) { st.StoreErrors++ })
	f := e.open()
	f.holds++
	if !powerOfTwo(f.holds) {
		return
	}
	s.bus.log(ctx, slog.LevelError, text,
		slog.String("subscriber", s.name), slog.Any("event", e.env),
		slog.Int("times", f.holds), slog.String("error", errorText(err)))
}

func powerOfTwo[N int | uint64](n N) bool { return n > 0 && n&(n-1) == 0 }

func (s *Subscription) random() float64 { return rand.Float64() }
