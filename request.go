package jitney

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/trace"
)

// Question is one that one module of the program has an answer to, of type A. A struct becomes one by
// embedding [Returns], and has a stable name as events have:
//
//	type PriceOf struct {
//		jitney.Returns[Price]
//		SKU string
//	}
//
//	func (PriceOf) EventType() string { return "pricing.price_of" }
//
// It is no event: Publish, Schedule and Forward refuse it, and subscriptions do not hear it.
type Question[A any] interface {
	Event
	returns(A)
}

// Returns makes the struct that it is embedded in a question whose answer is an A. It takes no room.
type Returns[A any] struct{}

func (Returns[A]) returns(A) {} //nolint:unused // Question asks for it

func (Returns[A]) question() {}

var questionType = reflect.TypeFor[interface{ question() }]()

// Answer makes handler answer the questions of type Q. A question has one answerer at a time. name is as in
// Subscribe; what is returned is a subscription, whose Stats counts questions as Accepted, and as Handled or Failed
// those that have been answered or not. While it is paused, askers get ErrPaused; Close ends it.
//
// handler runs in its asker's goroutine, so as many run at once as askers ask. The ctx it gets ends when the asker's
// does, when handler returns, at WithTimeout, and at the deadline of Shutdown or Close. It carries the question
// (FromContext), the asker's span, correlation id and the baggage that WithBaggage allows, and none of the asker's
// other values: who answers cannot come to depend on who asks. What handler publishes is caused by the question.
//
// An error, or a panic, is the asker's: it is not tried again, and leaves no dead letter. Of the options given to New
// those apply that are an [AnswerOption].
//
// Answer panics when it is called wrongly: as Subscribe does, and when Q has an answerer already.
func Answer[Q Question[A], A any](b *Bus, name string, handler func(ctx context.Context, q Q) (A, error), opts ...AnswerOption) *Subscription {
	if b == nil || handler == nil {
		panic(fmt.Sprintf("jitney: Answer %q: nil bus or handler, at %s", name, caller()))
	}
	return answer(b, name, reflect.TypeFor[Q](), func(ctx context.Context, e Event) error {
		q, ok := e.(Q)
		if !ok {
			return fmt.Errorf("jitney: %s answers %s, a middleware gave it %T", name, reflect.TypeFor[Q](), e)
		}
		a, err := handler(ctx, q)
		if err == nil {
			inquiryOf(ctx).answer.Store(&a)
		}
		return err
	}, opts)
}

func answer(b *Bus, name string, want reflect.Type, h Handler, opts []AnswerOption) *Subscription {
	c := newAnswerConfig(b.defaults, opts)
	s := open(b, name, want, &c)
	s.handle = answered(s.chain(h, c.middlewares))
	s.start(1)
	return s
}

// answered has an attempt fail that ends well without an answer.
func answered(next Handler) Handler {
	return func(ctx context.Context, e Event) error {
		err := next(ctx, e)
		if err == nil && inquiryOf(ctx).answer.Load() == nil {
			return fmt.Errorf("%w: a middleware did not pass the question on", ErrNoAnswer)
		}
		return err
	}
}

// Ask returns the answer to q, which q's answerer gives in this goroutine, before ctx ends if it heeds that. Use it
// for what a module has to know at once; it makes the two of them stand and fall together, which an event does not.
//
// Within a handler, the question's cause is what is being handled. Questions that ask each other in a circle end with
// ErrHopLimit (see WithHopLimit) and an error that says who asked whom.
//
// The other errors: the end of ctx, ErrClosed after the start of Shutdown unless a handler asks, ErrNilEvent,
// ErrNoAnswer if nobody answers questions of q's type, or if a middleware of the answerer returns nil without passing the
// question on, ErrPaused, and what the answerer returns. Its panic is a
// [*PanicError]; runtime.Goexit in it counts as failed, and ends the asker's goroutine, which it runs in.
func Ask[A any](ctx context.Context, b *Bus, q Question[A]) (answer A, err error) {
	in := &inquiry{}
	if err := b.ask(ctx, q, in); err != nil {
		return answer, err
	}
	return *in.answer.Load().(*A), nil
}

func (b *Bus) ask(ctx context.Context, q Event, in *inquiry) error {
	if err := b.admit(ctx, "ask", q); err != nil {
		return err
	}
	s, err := b.answerer(ctx, q)
	if err == nil {
		err = s.respond(ctx, q, in)
	}
	switch {
	case err == nil || is(err, ErrHopLimit): // which says all there is to say, once
		return err
	case s == nil:
		return fmt.Errorf("jitney: ask %T: %w", q, err)
	}
	return fmt.Errorf("jitney: ask %s of %s: %w", s.typ, s.name, err)
}

// answerer finds who answers questions like q.
func (b *Bus) answerer(ctx context.Context, q Event) (*Subscription, error) {
	if v := reflect.ValueOf(q); q == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, ErrNilEvent
	}
	if s, ok := b.routes.answerers.Load(reflect.TypeOf(q)); ok {
		return s.(*Subscription), nil
	}
	if n := b.unanswered.Add(1); powerOfTwo(n) { // the 1st, 2nd, 4th, 8th …
		b.log(ctx, slog.LevelWarn, "jitney: nobody answers this question", slog.String("question", nameOf(q)),
			slog.Uint64("unanswered_in_all", n), slog.String("called_at", caller()))
	}
	return nil, ErrNoAnswer
}

// respond has s answer q, in this goroutine.
func (s *Subscription) respond(ctx context.Context, q Event, in *inquiry) error {
	var p posting
	env := p.make(1, false)
	now := s.bus.clock.now()
	env.ID, env.Time = ids.next(now), time.Unix(0, now)
	env.Type, env.Version, env.Source, env.Event = s.typ, 1, s.bus.source, q
	cause := follow(ctx, env)
	if env.Hops > s.bus.hopLimit {
		return fmt.Errorf("jitney: ask %s: %w: %s", s.typ, ErrHopLimit, circle(ctx, env))
	}
	if s.bus.recorders != nil {
		s.bus.recorders.published(ctx, env, []*Subscription{s})
	}
	e, err := s.queue.begin(parcel{env: env, scope: p.scopeFor(0)}, cause != nil && cause.alive())
	if err == errLeft {
		err = fmt.Errorf("%w: it has just been closed", ErrNoAnswer)
	}
	if err != nil {
		s.bus.recorders.turnedAway(env, s, err)
		return err
	}
	v := verdict{ending: interrupted}
	defer func() { s.settleQuestion(e, v) }()
	in.asker = ctx
	if v = s.try(s.bus.accompany(ctx, in), e); v.ending == failed {
		return e.file.last
	}
	return nil
}

// settleQuestion settles a question, also when runtime.Goexit ends the asker's goroutine: then it is interrupted.
func (s *Subscription) settleQuestion(e *entry, v verdict) {
	if v.ending == interrupted {
		e.open().last = &PanicError{Goexit: true, Stack: stack()}
		v = s.told(e, verdict{ending: failed}, tried{number: e.attempt()})
	}
	s.settleSync(e, v)
}

// circle tells who asked whom, at most ten of them.
func circle(ctx context.Context, env *Envelope) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s would be hop %d of flow %q", env.Type, env.Hops, clip(env.CorrelationID(), maxName))
	n := 0
	for c := scopeOf(ctx); c != nil; c = scopeOf(c.parent) {
		if n++; n > 10 {
			b.WriteString(", and so on")
			break
		}
		fmt.Fprintf(&b, ", asked by %s for %s", c.sub.name, c.env.Type)
	}
	return b.String()
}

// inquiry is the context that a question is answered in: it ends when the asker's does, and has none of its values
// but what the flow of events and the end of contexts need. It is also where the answer is left.
type inquiry struct {
	asker  context.Context
	answer atomic.Value // *A
}

type inquiryKey struct{}

func inquiryOf(ctx context.Context) *inquiry { return ctx.Value(inquiryKey{}).(*inquiry) }

// Value implements context.Context; see scope.Value for *int.
func (in *inquiry) Value(key any) any {
	switch key.(type) {
	case inquiryKey:
		return in
	case flowKey, *int:
		return in.asker.Value(key)
	}
	return nil
}

// Deadline implements context.Context.
func (in *inquiry) Deadline() (time.Time, bool) { return in.asker.Deadline() }

// Done implements context.Context.
func (in *inquiry) Done() <-chan struct{} { return in.asker.Done() }

// Err implements context.Context.
func (in *inquiry) Err() error { return in.asker.Err() }

// accompany returns in with ctx's span, and what is allowed of its baggage.
func (b *Bus) accompany(ctx context.Context, in *inquiry) context.Context {
	var with context.Context = in
	if span := trace.SpanFromContext(ctx); span != noSpan {
		with = trace.ContextWithSpan(with, span)
	}
	if len(b.telemetry.baggage) > 0 {
		if bag := b.telemetry.allowed(baggage.FromContext(ctx)); bag.Len() > 0 {
			with = baggage.ContextWithBaggage(with, bag)
		}
	}
	return with
}
