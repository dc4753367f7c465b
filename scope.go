package jitney

import (
	"context"
	"sync/atomic"
	"time"
)

// scope is the context of one attempt, and the attempt's own state: one piece of memory serves both.
//
// Most handlers look at a value or two and never wait for their context, so the part that can be
// cancelled is a standard context made when somebody first asks for it. It ends with the attempt, when
// the subscription's life does, or when the publisher's context ends if the handler runs inside it.
type scope struct {
	env          *Envelope
	sub          *Subscription
	parent       context.Context // values come from here
	attempt      int32
	redeliveries int32
	state        atomic.Uint32 // of what is below
	inner        atomic.Pointer[cancellable]
}

const (
	scopeEnded   = 1 << iota
	scopeLate    // it succeeded after its timeout
	scopeEntered // times this is how often the handler was called
)

// entering counts a call of the handler, and reports whether it is the first.
func (s *scope) entering() bool { return s.state.Add(scopeEntered)/scopeEntered == 1 }

func (s *scope) entered() bool { return s.state.Load() >= scopeEntered }

func (s *scope) late() bool { return s.state.Load()&scopeLate != 0 }

// alive reports whether the attempt still runs.
func (s *scope) alive() bool { return s.state.Load()&scopeEnded == 0 }

// end is called when the handler has returned; its context may outlive it in somebody's hands.
func (s *scope) end() {
	s.state.Or(scopeEnded)
	if c := s.inner.Load(); c != nil {
		c.end()
	}
}

// flow is what ContextWithCorrelation adds to a context.
type flow struct {
	correlation string
	cause       *scope // the handler it was called in, or nil
}

// flowKey is the one key for what a context says about the flow of events: a *scope or a *flow. To look
// for a value takes as long as the context is deep.
type flowKey struct{}

func flowOf(ctx context.Context) (correlation string, cause *scope) {
	switch v := ctx.Value(flowKey{}).(type) {
	case *scope:
		return v.env.CorrelationID(), v
	case *flow:
		return v.correlation, v.cause
	}
	return "", nil
}

// scopeOf returns the attempt that ctx belongs to, or nil outside a handler.
func scopeOf(ctx context.Context) *scope {
	switch v := ctx.Value(flowKey{}).(type) {
	case *scope:
		return v
	case *flow:
		return v.cause
	}
	return nil
}

// delivery is what FromContext shows of it.
func (s *scope) delivery() *Delivery {
	return &Delivery{Envelope: s.env, Subscriber: s.sub.name, Attempt: int(s.attempt), Redeliveries: int(s.redeliveries)}
}

// Value implements context.Context. A *int can be the key by which the context package finds the part
// that can be cancelled, and its cause; no other look-up needs that part.
func (s *scope) Value(key any) any {
	switch key.(type) {
	case flowKey:
		return s
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
	if s.inner.Load() == nil && s.alive() && !s.sub.sync {
		return s.parent.Err()
	}
	return s.cancellable().Err()
}

// cancellable is the part of a context that can be cancelled, made when first asked for.
type cancellable struct {
	context.Context
	cancel context.CancelCauseFunc
	unlink func() bool // stops following the subscription's life; or nil
}

func (c *cancellable) end() {
	if c.unlink != nil {
		c.unlink()
	}
	c.cancel(ErrDeliveryEnded)
}

func (s *scope) cancellable() *cancellable {
	if c := s.inner.Load(); c != nil {
		return c
	}
	c := &cancellable{}
	c.Context, c.cancel = context.WithCancelCause(s.parent)
	if s.sub.sync { // its parent is the publisher's context; elsewhere it is the life itself
		life := s.sub.life
		c.unlink = context.AfterFunc(life, func() { c.cancel(context.Cause(life)) })
	}
	if !s.inner.CompareAndSwap(nil, c) {
		c.end()
		return s.inner.Load()
	}
	if !s.alive() { // and end may have looked too early to see c
		c.end()
	}
	return c
}

// inHandler reports whether ctx belongs to a handler, of any bus, that has not returned.
func inHandler(ctx context.Context) bool {
	s := scopeOf(ctx)
	return s != nil && s.alive()
}
