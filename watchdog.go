package jitney

import (
	"log/slog"
	"math"
	"time"
)

// watchdog looks after one queue's handlers and waiting publishers, and names those that take longer
// than slow. Its timer runs only while there is something to look after.
//
// No clock is read when a handler starts: the first look at it starts the count, and looks are slow/2
// apart, so what is found has lasted at least as long as reported, and is reported before 2 × slow have
// passed. It is named again when that time has doubled, and so on; so the timer of a handler that hangs
// for ever ends at last, and testing/synctest can see the deadlock.
type watchdog struct {
	slow  time.Duration // 0: off
	look  func()        // called by the timer
	timer *time.Timer
	set   bool // the timer runs
	lazy  bool // it is set too late for something that starts now
}

// arm is called, with the queue's lock held, when there is something new to look after.
func (w *watchdog) arm() {
	if w.slow > 0 && (!w.set || w.lazy) {
		w.in(w.slow / 2)
		w.lazy = false
	}
}

func (w *watchdog) in(d time.Duration) {
	w.set = true
	if w.timer == nil {
		w.timer = time.AfterFunc(d, w.look)
	} else {
		w.timer.Reset(d)
	}
}

func (w *watchdog) stop() {
	w.slow = 0
	if w.timer != nil {
		w.timer.Stop()
	}
}

// due says when something seen first at since, and named reports times, is to be named again.
func (w *watchdog) due(since int64, reports uint8) int64 {
	if int64(w.slow) > (math.MaxInt64-since)>>reports {
		return math.MaxInt64
	}
	return since + int64(w.slow)<<reports
}

// finding is something that takes too long.
type finding struct {
	env     *Envelope
	since   time.Duration // for at least
	caller  *callStack    // of a publisher that waits
	waits   bool
	running *Envelope // what the handler is working on meanwhile, if anything
}

// inspect returns what takes too long, and sets the timer for the next look.
func (q *queue) inspect(now int64) []finding {
	q.mu.Lock()
	defer q.mu.Unlock()
	w := &q.watchdog
	w.set = false
	if w.slow == 0 {
		return nil
	}
	var found []finding
	next := int64(math.MaxInt64)
	look := func(since int64, reports *uint8, f finding) {
		if now >= w.due(since, *reports) {
			f.since = time.Duration(now - since)
			found = append(found, f)
			*reports++
		}
		next = min(next, w.due(since, *reports))
	}
	var first *Envelope
	left := q.stats.Running
	for e := q.oldest; e != nil && left > 0; e = e.newer {
		if e.state != running {
			continue
		}
		left--
		if e.seen == 0 {
			e.seen = now
		}
		if e.led {
			continue
		}
		if first == nil {
			first = e.env
		}
		look(e.seen, &e.reports, finding{env: e.env})
	}
	for _, p := range q.room {
		f := finding{env: p.env, waits: true, running: first, caller: p.caller.Load()}
		look(p.since.UnixNano(), &p.reports, f)
	}
	q.stats.Slow += uint64(len(found))
	if next != math.MaxInt64 && !q.halted {
		wait := time.Duration(next - now)
		w.lazy = wait > w.slow/2
		w.in(wait)
	}
	return found
}

// look is the watchdog's timer function.
func (s *Subscription) look() {
	for _, f := range s.queue.inspect(time.Now().UnixNano()) {
		attrs := []slog.Attr{
			slog.String("subscriber", s.name), slog.Any("event", f.env),
			slog.Duration("for_at_least", f.since), slog.String("subscribed_at", s.at),
		}
		text := "jitney: handler is slow"
		if f.waits {
			text = "jitney: publisher waits for room"
			attrs = append(attrs, slog.String("publisher", f.caller.outside()), slog.Any("handler_works_on", f.running))
		}
		s.bus.log(s.bus.carried(s.life, f.env), slog.LevelWarn, text, attrs...)
	}
}
