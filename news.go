package jitney

import "log/slog"

// notice is something to be told of a queue, in the order it happened and without its lock.
type notice struct {
	breaker BreakerChange
	held    bool      // what holds the subscription back has changed: only that is to be told
	parking *Envelope // it should be parked, and there is no room
}

type news struct {
	over    bool // nobody listens any more
	list    []notice
	telling bool   // somebody tells already
	spread  func() // makes somebody tell; called with the lock held
}

// tell is called with mu held.
func (q *queue) tell(n notice) {
	if q.news.over {
		return
	}
	q.news.list = append(q.news.list, n)
	if !q.news.telling {
		q.news.telling = true
		q.news.spread()
	}
}

func (q *queue) nextNotice() (n notice, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.news.list) == 0 {
		q.news.telling = false
		return n, false
	}
	n = q.news.list[0]
	q.news.list = q.news.list[1:]
	return n, true
}

// spread makes a goroutine tell the news. Shutdown and Close wait for it as for a worker.
func (s *Subscription) spread() {
	s.workers.Add(1)
	go s.tellNews()
}

func (s *Subscription) tellNews() {
	done := false
	defer func() {
		if !done { // runtime.Goexit in OnChange
			go s.tellNews()
			return
		}
		s.workers.Add(-1)
		s.bus.bell.ring()
	}()
	for {
		n, ok := s.queue.nextNotice()
		if !ok {
			done = true
			return
		}
		switch {
		case n.held:
			s.keepHeld()
		case n.parking != nil:
			s.parkingFull(n.parking)
		default:
			s.breakerChanged(n.breaker)
			s.keepHeld()
		}
	}
}

func (s *Subscription) breakerChanged(c BreakerChange) {
	c.Subscriber = s.name
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("subscriber", s.name), slog.String("from", c.From.String()), slog.String("to", c.To.String()),
	}
	if c.To == BreakerOpen {
		level = slog.LevelWarn
		attrs = append(attrs, slog.String("error", errorText(c.Err)), slog.Duration("pause", c.Pause))
	}
	s.bus.log(s.life, level, "jitney: breaker "+c.To.String(), attrs...)
	call := s.queue.gate.breaker.OnChange
	if call == nil {
		return
	}
	if err := contain(func() error { call(c); return nil }); err != nil {
		s.bus.log(s.life, slog.LevelError, "jitney: OnChange failed",
			slog.String("subscriber", s.name), slog.String("error", errorText(err)))
	}
}
