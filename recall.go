package jitney

import (
	"context"
	"log/slog"
)

// A journal that several processes share may give a subscriber's events to another one while they are here. It recalls
// them then: what has not begun leaves the queue, and whoever handles it next does so after what runs here.

// recall takes back entries; see Durable.
func (f *feed) recall(ctx context.Context, positions ...int64) error {
	back := make(map[int64]bool, len(positions))
	for _, pos := range positions {
		back[pos] = true
	}
	select {
	case f.taking <- struct{}{}: // what Next has returned is in the queue, or is not put there any more
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for pos := range back {
		f.through.Store(min(f.through.Load(), pos-1))
		f.recalled[pos] = true
	}
	before := f.s.Stats().Recalled
	running := f.s.queue.recall(back)
	<-f.taking
	f.s.bus.log(ctx, slog.LevelWarn, "jitney: deliveries recalled, the journal has another process handle them",
		slog.String("subscriber", f.s.name), slog.Uint64("recalled", f.s.Stats().Recalled-before), slog.Int("still_running", len(running)))
	f.roomier()
	f.s.bus.bell.ring()
	for _, ran := range running {
		select {
		case <-ran:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// exclude keeps others out of what taking guards, until the function it returns is called.
func (f *feed) exclude() (release func()) {
	f.taking <- struct{}{}
	return func() { <-f.taking }
}

// ask notes that Next is about to be called.
func (f *feed) ask() {
	defer f.exclude()()
	clear(f.recalled)
}

// looked notes how far Next has looked, and that what it has returned is in the queue. What was recalled is still to
// come, or another process's: the next call tells.
func (f *feed) looked(through int64) {
	defer f.exclude()()
	if len(f.recalled) == 0 {
		f.through.Store(through)
	}
}

// recall takes the deliveries at those positions of the journal off the books. For each of them that runs it returns a
// channel that is closed when it has run.
func (q *queue) recall(back map[int64]bool) (runs []<-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	defer q.reckon()
	if !q.halted { // or else Shutdown has named what has not begun
		q.gather()
	}
	var next *entry
	for e := q.oldest; e != nil; e = next {
		next = e.newer
		switch {
		case !back[e.position()]:
		case e.state == running:
			if e.rare.ran == nil {
				e.rare.ran = make(chan struct{})
			}
			runs = append(runs, e.rare.ran)
		case !q.halted:
			q.takeBack(e)
		}
	}
	for _, p := range q.parking.parks() {
		q.takeBackParked(p, back)
	}
	return runs
}

// What follows is called with the queue's lock held.

// takeBack takes e, which does not run, off the books.
func (q *queue) takeBack(e *entry) {
	l := e.lane
	if l.kept {
		l.asleep--
		q.asleep--
	}
	q.unlane(e)
	q.stats.Recalled++
	switch {
	case e.state == waiting: // its lane has waited for it
		q.stats.Waiting--
		l.timer.Stop()
		q.wakeUp(l)
		q.requeue(l)
	case l.state == laneBlocked:
		q.stats.Queued--
		q.unblock(l)
	default:
		q.stats.Queued--
	}
	q.leave(e)
	q.grant(e.share)
}

// takeBackParked takes what is parked behind a letter, and recalled, out of there.
func (q *queue) takeBackParked(p *park, back map[int64]bool) {
	first := p.first
	p.first, p.last = nil, nil
	var next *entry
	for e := first; e != nil; e = next {
		next, e.next = e.next, nil
		switch {
		case back[e.position()]:
			p.n--
			q.stats.Parked--
			q.stats.Recalled++
		case p.last == nil:
			p.first, p.last = e, e
		default:
			p.last.next, p.last = e, e
		}
	}
}

// ran notes that a delivery has run that was recalled meanwhile, and says what becomes of it.
func (q *queue) ran(e *entry, v verdict) verdict {
	close(e.rare.ran)
	e.rare.ran = nil
	if !v.ending.final() {
		v = verdict{ending: recalled}
		q.roomier()
	}
	return v
}
