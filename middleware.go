package jitney

import (
	"context"
	"fmt"
	"runtime/debug"
)

// Handler handles one event of any type. It is what a [Middleware] wraps; FromContext(ctx) tells which
// delivery it is.
type Handler func(ctx context.Context, e Event) error

// Middleware wraps a handler. It is called once, at Subscribe, and what it returns once per attempt:
//
//	bus middleware → subscription middleware → timeout → inbox → panic barrier → handler
//
// and around all of it retry, and around that dead letters. Only the order of middlewares among
// themselves is free: the first one given is the outermost.
//
// For SubscribeBatch it is called once per batch, with a [Batch].
//
// A middleware that returns without calling next has handled the attempt itself: nil settles the
// delivery; around an answerer it is ErrNoAnswer, for there is no answer. It may pass on another event of the same
// type, and a context derived from its own. It must not call next twice in an attempt (ErrCalledTwice) nor after it has
// returned (ErrForeignContext).
type Middleware func(next Handler) Handler

// PanicError is the error of an attempt in which user code panicked, or ended its goroutine with
// runtime.Goexit, as t.FailNow does. It unwraps to the panic's value if that is an error.
type PanicError struct {
	Value  any    // what was given to panic; nil after Goexit
	Goexit bool   // runtime.Goexit, not panic
	Stack  []byte // of the goroutine, at most 16 KiB
}

func (e *PanicError) Error() string {
	if e.Goexit {
		return "runtime.Goexit called"
	}
	if err, ok := e.Value.(error); ok {
		return "panic: " + errorText(err)
	}
	return "panic: " + valueText(e.Value)
}

// Unwrap returns the panic's value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// stackOf returns the stack of a panic in err's tree, or "".
func stackOf(err error) (text string) {
	find(err, func(e error) bool {
		p, ok := e.(*PanicError)
		if ok {
			text = string(p.Stack)
		}
		return ok
	})
	return text
}

// valueText formats a panic's value. fmt contains what its String method may do.
func valueText(v any) string { return clip(fmt.Sprint(v), maxErrorText) }

// containInto, deferred, turns a panic into *err.
func containInto(err *error) {
	if r := recover(); r != nil {
		*err = &PanicError{Value: r, Stack: stack()}
	}
}

// contain calls f, which may be anybody's code, and returns its panic as an error.
func contain(f func() error) (err error) {
	defer containInto(&err)
	return f()
}

func stack() []byte {
	s := debug.Stack()
	return s[:min(len(s), maxStack)]
}

// chain wraps h in everything that one attempt goes through.
func (s *Subscription) chain(h Handler, own []Middleware) Handler {
	if s.plain = len(own) == 0 && s.inbox == nil && s.timeout == 0; s.plain {
		return h // nothing is around it but call's barrier
	}
	h = s.guard(h)
	switch {
	case s.inbox != nil && s.queue.batching != nil:
		h = s.deduplicateBatch(h)
	case s.inbox != nil:
		h = s.deduplicate(h)
	}
	if s.timeout > 0 {
		h = s.limit(h)
	}
	for i := len(own) - 1; i >= 0; i-- {
		h = own[i](h)
	}
	return h
}

// guard is the panic barrier, and what keeps middlewares to their contract.
func (s *Subscription) guard(h Handler) Handler {
	return func(ctx context.Context, e Event) (err error) {
		c := scopeOf(ctx)
		if c == nil || c.sub != s || !c.alive() {
			return ErrForeignContext
		}
		if !c.entering() {
			return ErrCalledTwice
		}
		defer containInto(&err)
		return h(ctx, e)
	}
}
