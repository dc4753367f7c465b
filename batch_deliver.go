package jitney

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// workBatches is work for a subscription that is handed batches. What follows for each delivery is decided as it is for
// one that is handed over alone.
func (s *Subscription) workBatches(b *batch, lost error) {
	defer func() {
		if len(b.entries) == 0 {
			s.workers.Add(-1)
			s.bus.bell.ring()
			s.goroutines.Done()
			return
		}
		go s.workBatches(b, &PanicError{Goexit: true, Stack: stack()})
	}()
	if lost == nil {
		s.queue.takeBatch(b)
	}
	for len(b.entries) > 0 {
		s.handOver(b, lost)
		lost = nil
		s.settleBatch(b)
		s.queue.takeBatch(b)
	}
}

// settleBatch settles b's deliveries, in the journal first, as turn does one.
func (s *Subscription) settleBatch(b *batch) {
	var redeliveries []*redelivery
	for i, e := range b.entries {
		v := &b.verdicts[i]
		if e.position() > 0 && v.ending == again {
			s.feed.postponed(e, v)
		}
		if r := e.again(); r != nil && v.ending.final() {
			redeliveries = append(redeliveries, r)
		}
		if at := e.position(); at > 0 && v.ending.final() {
			s.feed.settled(at, v.ending)
		}
	}
	s.queue.settleBatch(b)
	for _, r := range redeliveries {
		s.bus.redelivered(r)
	}
}

// handOver makes one attempt of all of b, or goes on where a goroutine was lost, and reaches a verdict on each delivery.
func (s *Subscription) handOver(b *batch, lost error) {
	e := b.entries[0]
	if e.file != nil && e.file.letter != nil && len(b.entries) == 1 || e.progress() != nil || e.crashes() >= maxCrashes {
		b.verdicts = append(b.verdicts[:0], s.deliver(e, lost)) // it is not for the handler
		return
	}
	lead := slices.MaxFunc(b.entries, func(x, y *entry) int { return x.env.Hops - y.env.Hops })
	ctx := s.bus.carried(s.life, lead.env)
	if lost != nil {
		if !b.ran {
			s.heard(b, lost)
			b.entered, lost = true, nil
		}
		s.judgeBatch(ctx, b, lost)
		return
	}
	if t := &s.bus.telemetry; t.tracer != nil || t.meter != nil {
		s.watchBatch(ctx, t, b)
		return
	}
	s.attemptBatch(ctx, b)
	s.judgeBatch(ctx, b, nil)
}

// attemptBatch calls the handler once, through the chain.
func (s *Subscription) attemptBatch(parent context.Context, b *batch) {
	events, scopes := make(Batch, len(b.entries)), make([]*scope, len(b.entries))
	for i, e := range b.entries {
		c := e.scope
		if e.scope = nil; c == nil {
			c = new(scope)
		}
		c.env, c.sub, c.parent, c.attempt = e.env, s, parent, int32(e.attempt())
		if e.again() != nil {
			c.redeliveries = int32(e.again().letter.Redeliveries + 1)
		}
		events[i], scopes[i] = e.env.Event, c
	}
	lead := newRoster(parent, scopes)
	lead.Context = lead.lead
	defer func() {
		for _, c := range scopes {
			c.end()
		}
	}()
	b.known = make([]error, len(b.entries))
	if s.bus.recorders != nil {
		b.began = time.Now()
	}
	err := s.call(context.WithValue(lead, batchKey{}, b), events)
	b.entered = s.plain || slices.ContainsFunc(scopes, (*scope).entered)
	b.late = lead.lead.late()
	s.heard(b, err)
}

// batchKey is what the inbox finds the batch by.
type batchKey struct{}

// heard notes what came of the attempt: of each event, or of all.
func (s *Subscription) heard(b *batch, err error) {
	b.ran, b.now, b.random = true, time.Now(), s.random()
	if err == nil {
		b.errs = make([]error, len(b.entries))
		return
	}
	b.whole = err
	if e := batchErrorIn(err); e != nil {
		errs, ok := e.about(len(b.entries))
		if ok {
			b.errs, b.whole = errs, nil
			return
		}
		b.whole = fmt.Errorf("jitney: a BatchError of %d events, of a batch of %d, that cannot be taken at its word: %w", len(e.Errs), len(b.entries), err)
	}
	_, b.held = err.(*inboxError)
	steered := false
	_ = contain(func() error { steered = steering(err) != nil; return nil }) // it is anybody's code
	b.halve = len(b.entries) > 1 && !b.held && !steered
}

// judgeBatch reaches a verdict on what has none yet. lost is what has ended the last try to.
func (s *Subscription) judgeBatch(ctx context.Context, b *batch, lost error) {
	if b.halve && len(b.verdicts) == 0 && s.life.Err() == nil {
		s.tellHalved(ctx, b)
	}
	for i := len(b.verdicts); i < len(b.entries); i++ {
		v := verdict{}
		if lost != nil {
			v = s.deliver(b.entries[i], lost)
			lost = nil
		} else {
			e, r := b.entries[i], b.result(i)
			number := e.attempt()
			v = s.judgeOf(ctx, b, i, r)
			s.told(e, v, tried{number, b.began, b.now.Sub(b.began), r.err})
		}
		if b.undone && v.ending == again {
			b.entries[i].most = 1 // so that the others are handled without it
		}
		b.verdicts = append(b.verdicts, v)
	}
}

// result is how the attempt went for b's i-th delivery.
func (b *batch) result(i int) result {
	r := result{err: b.whole, entered: b.entered, late: b.late, of: b}
	if b.known != nil && b.known[i] != nil {
		r.err, r.entered = b.known[i], false
	} else if b.whole == nil {
		r.err = b.errs[i]
	}
	return r
}

// judgeOf reaches the verdict on b's i-th delivery.
func (s *Subscription) judgeOf(ctx context.Context, b *batch, i int, r result) verdict {
	e := b.entries[i]
	switch {
	case r.err == nil && !r.late && e.rare == nil:
		return verdict{ending: handled}
	case s.life.Err() != nil:
	case r.err == ErrNotTried:
		return verdict{ending: untried}
	case b.halve && r.err == b.whole:
		return s.halve(e, b)
	case i > 0 && b.held && b.verdicts[0].ending == held:
		e.open().holds = b.entries[0].file.holds // told once
		return b.verdicts[0]
	}
	return s.judge(ctx, e, r)
}

// halve has e come again in a batch of half the size. To the breaker that is one failure with those that come of it,
// until a delivery fails alone.
func (s *Subscription) halve(e *entry, b *batch) verdict {
	e.open().last = b.whole
	b.counted = b.counted || e.most > 0
	_ = contain(func() error { s.spares(e, result{err: b.whole, of: b}); return nil }) // Counts is anybody's code
	if !b.spared {
		e.most = int32(len(b.entries) / 2)
	}
	return verdict{ending: spared}
}

// tellHalved tells of a batch that has failed as a whole: the 1st, 2nd, 4th, 8th … time.
func (s *Subscription) tellHalved(ctx context.Context, b *batch) {
	s.queue.mu.Lock()
	s.queue.batching.halved++
	n := s.queue.batching.halved
	s.queue.mu.Unlock()
	if !powerOfTwo(n) {
		return
	}
	s.bus.log(ctx, slog.LevelWarn, "jitney: batch failed as a whole, its events come again in smaller ones",
		slog.String("subscriber", s.name), slog.Any("first_event", b.entries[0].env), slog.Int("events", len(b.entries)),
		slog.Uint64("times_in_all", n), slog.String("error", errorText(b.whole)))
}
