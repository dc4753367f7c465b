package jitney

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// scope is the context of one attempt, and the attempt's own state: one allocation serves both.
//
// Most handlers look at a value or two and never wait for their context, so the part that can be
// cancelled is a standard context made when somebody first asks for it. It ends with the attempt, when
// the subscription's life does, or when the publisher's context ends if the handler runs inside it.
type scope struct {
	delivery Delivery
	sub      *Subscription
	parent   context.Context // values come from here

	entered atomic.Bool // the handler was called
	late    bool        // it succeeded after its timeout

	mu     sync.Mutex
	inner  context.Context
	cancel context.CancelCauseFunc
	unlink func() bool // stops following the subscription's life
	ended  bool
}

type scopeKey struct{}

// scopeOf returns the attempt that ctx belongs to, or nil outside a handler.
func scopeOf(ctx context.Context) *scope {
	s, _ := ctx.Value(scopeKey{}).(*scope)
	return s
}

// Value implements context.Context. A *int can be the key by which the context package finds the part
// that can be cancelled, and its cause; no other look-up needs that part.
func (s *scope) Value(key any) any {
	switch key.(type) {
	case scopeKey:
		return s
	case correlationKey:
		return &s.delivery.CorrelationID
	case *int:
		return s.cancellable().Value(key)
	}
	return s.parent.Value(key)
}

// Deadline implements context.Context.
func (s *scope) Deadline() (time.Time, bool) { return s.parent.Deadline() }

// Done implements context.Context.
func (s *scope) Done() <-chan struct{} { return s.cancellable().Done() }

// Err implements context.Context. An attempt that nobody can cancel but its subscription needs no more
// than that to answer.
func (s *scope) Err() error {
	s.mu.Lock()
	untouched := s.inner == nil && !s.ended && !s.sub.sync
	s.mu.Unlock()
	if untouched {
		return s.parent.Err()
	}
	return s.cancellable().Err()
}

func (s *scope) cancellable() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inner == nil {
		s.inner, s.cancel = context.WithCancelCause(s.parent)
		switch {
		case s.ended:
			s.cancel(ErrDeliveryEnded)
		case s.sub.sync: // its parent is the publisher's context; elsewhere it is the life itself
			life, cancel := s.sub.life, s.cancel
			s.unlink = context.AfterFunc(life, func() { cancel(context.Cause(life)) })
		}
	}
	return s.inner
}

// inHandler reports whether ctx belongs to a handler, of any bus, that has not returned.
func inHandler(ctx context.Context) bool {
	s := scopeOf(ctx)
	return s != nil && s.alive()
}

// alive reports whether the attempt still runs.
func (s *scope) alive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.ended
}

// end is called when the handler has returned; its context may outlive it in somebody's hands.
func (s *scope) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if s.unlink != nil {
		s.unlink()
	}
	if s.cancel != nil {
		s.cancel(ErrDeliveryEnded)
	}
}
