package jitney

import (
	"context"
	"log/slog"
)

// A pause, or an open breaker, of a durable subscription holds on after a restart: the journal keeps it.

// keepHeld tells the journal what holds s back.
func (s *Subscription) keepHeld() {
	f := s.feed
	if f == nil {
		return
	}
	f.mu.Lock()
	open := f.opened
	f.mu.Unlock()
	if !open {
		return // told once it is
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.bus.grace)
	defer cancel()
	h := s.queue.holding()
	if err := contain(func() error { return f.cursor.Hold(ctx, h) }); err != nil && !is(err, ErrInUse) {
		s.bus.log(ctx, slog.LevelError, "jitney: a restart would not know what holds the subscription back",
			slog.String("subscriber", s.name), slog.Bool("paused", h.Paused), slog.Time("breaker_open_until", h.Until),
			slog.String("error", errorText(err)))
	}
}

// wasHeld is called when the journal has found s's place, with what held it back there.
func (f *feed) wasHeld(h Held) {
	if !f.holdAgain(h) { // somebody has decided in this process, and that is newer
		f.s.keepHeld()
		return
	}
	if h != (Held{}) {
		f.s.bus.log(f.s.life, slog.LevelWarn, "jitney: subscription is held back as before the restart",
			slog.String("subscriber", f.s.name), slog.Bool("paused", h.Paused), slog.Time("breaker_open_until", h.Until),
			slog.String("error", clip(h.Err, maxErrorText)))
	}
}

// holdAgain holds the subscription back as h says, unless somebody has paused or resumed it in this process.
func (f *feed) holdAgain(h Held) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened = true
	if f.said {
		return false
	}
	if h != (Held{}) {
		f.s.queue.holdAgain(h)
	}
	return true
}

// pause notes that somebody has decided.
func (f *feed) pause(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.said = true
	f.s.queue.pause(on)
}
