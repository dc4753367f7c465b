package jitney

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
)

// Event is a fact that one module tells the others, such as "an order was placed".
//
// EventType returns the fact's stable name, by convention module.past_participle ("orders.placed"). It
// is 1 to 200 bytes of printable UTF-8 without spaces, it must not depend on the value, and it outlives
// the Go type: a name belongs to one Go type for the life of a [Bus].
//
// An event may have two more methods:
//
//	EventKey() string   // events of one key are handled in the order of Publish; at most 1 KiB; default ""
//	EventVersion() int  // version of the payload's shape, at least 1; default 1
//
// A published event is shared by all its subscribers, who run at the same time: from Publish on, nobody
// may change it or anything it points to. The bus never does.
type Event interface {
	EventType() string
}

type keyed interface{ EventKey() string }

type versioned interface{ EventVersion() int }

// Limits on what names and keys may be.
const (
	maxName = 200
	maxKey  = 1 << 10
)

// Envelope is an event with what the bus knows of it. It is made by [Bus.Publish], shared by all
// subscribers, and not changed by anybody afterwards.
type Envelope struct {
	// ID is a UUIDv7. Within a process, a later Publish has a greater ID.
	ID uuid.UUID
	// Type is what EventType returned, and Version what EventVersion did (1 without that method).
	Type    string
	Version int
	// Time is when Publish was called, by the wall clock alone: it has no monotonic reading. When that clock is
	// set, it follows within 10 ms. Of a scheduled event it is the time that it is for, or when Schedule was called if
	// that was past.
	Time time.Time
	// Source names the program that published the event; see WithSource.
	Source string
	// Key is what EventKey returned; "" without that method.
	Key string
	// Correlation is what the flow is called that the event belongs to, if not by the event's own ID. An event
	// that starts a flow takes it from its context (see ContextWithCorrelation). Read it with CorrelationID.
	Correlation string
	// CausationID is the ID of the event whose handler published this one; uuid.Nil if none did.
	CausationID uuid.UUID
	// Hops counts the events in the chain of causes before this one; see WithHopLimit.
	Hops int
	// Headers are strings that travel with the event: the trace context, and what publish hooks add.
	Headers map[string]string
	// Event is the event itself, of the Go type it was published as.
	Event Event

	traced *traced // nil without a tracer
}

// CorrelationID is the same for all events of one flow: Correlation, or else the event's own ID.
func (e *Envelope) CorrelationID() string {
	if e.Correlation == "" && e.ID != uuid.Nil {
		return e.name()
	}
	return e.Correlation
}

// LogValue names the event in a log record. It shows neither payload nor key nor headers.
func (e *Envelope) LogValue() slog.Value {
	if e == nil {
		return slog.StringValue("<nil>")
	}
	return slog.GroupValue(
		slog.String("type", e.Type),
		slog.String("id", e.name()),
		slog.String("correlation_id", e.CorrelationID()))
}

// String names the event without its payload.
func (e *Envelope) String() string {
	if e == nil {
		return "<nil>"
	}
	return e.Type + " " + e.name()
}

// GoString is String: %#v must not show the payload either.
func (e *Envelope) GoString() string { return "jitney.Envelope(" + e.String() + ")" }

// Delivery is an envelope on its way to one subscriber, at one of its attempts. A handler finds its own with
// [FromContext].
type Delivery struct {
	*Envelope
	// Subscriber is the name given to Subscribe; "" outside a handler.
	Subscriber string
	// Attempt is 1 the first time; 0 outside a handler.
	Attempt int
	// Redeliveries counts how often the delivery has come back from the dead letters.
	Redeliveries int
}

// FromContext returns the delivery that the handler called with ctx is working on. It is never nil:
// outside a handler it has an empty Envelope, with the Correlation that ContextWithCorrelation put into ctx.
func FromContext(ctx context.Context) *Delivery {
	correlation, s := flowOf(ctx)
	if s != nil {
		return s.delivery()
	}
	return &Delivery{Envelope: &Envelope{Correlation: correlation}}
}

// ContextWithCorrelation returns a context whose publishes carry id as their Correlation: an HTTP request's
// id, say. Any string will do; "" is ignored. Within a handler it replaces the correlation id of the
// event being handled.
func ContextWithCorrelation(ctx context.Context, id string) context.Context {
	if id == "" {
		return ctx
	}
	return context.WithValue(ctx, flowKey{}, &flow{id, scopeOf(ctx)})
}

// seal makes the envelope of an event that is published with ctx at now, and puts it into p.
func (b *Bus) seal(ctx context.Context, e Event, now int64, p *posting) (err error) {
	defer containInto(&err)
	r, err := b.routes.of(e)
	if err != nil {
		return err
	}
	p.route = r
	if p.later == nil && b.nobodyLooks(r) {
		return b.glance(ctx, e, r)
	}
	env := p.make(len(*r.subs.Load()), b.telemetry.tracer != nil)
	if r.retained != nil {
		p.scopes = nil // who keeps the envelope would keep contexts
	}
	env.ID, env.Time = ids.next(now), time.Unix(0, now)
	if l := p.later; l != nil {
		env.ID, env.Time = cmp.Or(l.ID, env.ID), l.At
	}
	env.Type = r.name
	env.Source = b.source
	env.Event = e
	cause := describe(ctx, env, e, r)
	p.inside = cause != nil && cause.alive()
	if t := b.telemetry.tracer; t != nil {
		ctx = p.trace(ctx, t)
	}
	b.carry(ctx, env)
	if len(b.hooks) == 0 {
		return b.allowed(ctx, env)
	}
	if env.Headers == nil {
		env.Headers = make(map[string]string) // theirs to fill
	}
	for _, hook := range b.hooks {
		if err := hook(ctx, env); err != nil {
			return fmt.Errorf("refused by a publish hook: %w", err)
		}
	}
	return b.check(ctx, env, r)
}

// nobodyLooks reports whether nobody would see the envelope of an event on route r: then none is made.
func (b *Bus) nobodyLooks(r *route) bool {
	return len(*r.subs.Load()) == 0 && len(b.hooks) == 0 && b.journal == nil && b.telemetry.tracer == nil && r.retained == nil && b.recorders == nil && r.unheard.Load() > 0
}

// glance says what is wrong with an event that nobody hears.
func (b *Bus) glance(ctx context.Context, e Event, r *route) error {
	env := Envelope{Type: r.name}
	describe(ctx, &env, e, r)
	return b.allowed(ctx, &env)
}

// make makes an envelope, in one piece with its trace context if it is to have one, and with what its first
// attempts need if only one subscriber hears it; for several, that is a second piece.
func (p *posting) make(hearers int, tracing bool) *Envelope {
	switch {
	case tracing:
		all := &struct {
			Envelope
			traced
			scope [1]scope
		}{}
		all.Envelope.traced = &all.traced
		p.env, p.scopes = &all.Envelope, all.scope[:]
	case hearers == 1:
		all := &struct {
			Envelope
			scope [1]scope
		}{}
		p.env, p.scopes = &all.Envelope, all.scope[:]
	default:
		p.env = &Envelope{}
	}
	if hearers > 1 {
		p.scopes = make([]scope, hearers)
	}
	return p.env
}

// describe takes over into env what the event says of itself, and what ctx says of the flow. It returns the
// delivery that is the cause, or nil.
func describe(ctx context.Context, env *Envelope, e Event, r *route) (cause *scope) {
	describeEvent(env, e, r)
	return follow(ctx, env)
}

// follow puts env into the flow that ctx belongs to, behind its cause.
func follow(ctx context.Context, env *Envelope) (cause *scope) {
	if env.Correlation, cause = flowOf(ctx); cause != nil {
		env.CausationID = cause.env.ID
		env.Hops = cause.env.Hops + 1
	}
	return cause
}

func describeEvent(env *Envelope, e Event, r *route) {
	env.Version = 1
	if r.versioned {
		env.Version = e.(versioned).EventVersion()
	}
	if r.keyed {
		env.Key = e.(keyed).EventKey()
	}
}

// reseal makes the envelope of e, which takes the place of the event in old.
func (b *Bus) reseal(ctx context.Context, old *Envelope, e Event) (env *Envelope, err error) {
	defer containInto(&err)
	r, err := b.routes.of(e)
	if err != nil {
		return nil, err
	}
	env = copyEnvelope(old)
	env.ID, env.CausationID = ids.next(b.clock.now()), old.ID
	env.Type, env.Key, env.Event, env.Correlation = r.name, "", e, old.CorrelationID()
	describeEvent(env, e, r)
	if t := env.traced; t != nil {
		env.traced = &traced{span: t.span, route: r}
	}
	return env, b.check(ctx, env, r)
}

// check says what is wrong with an envelope, whoever made it.
func (b *Bus) check(ctx context.Context, env *Envelope, r *route) error {
	switch {
	case env.ID == uuid.Nil:
		return fmt.Errorf("%w: no ID", ErrInvalidEnvelope)
	case env.Type != r.name:
		return fmt.Errorf("%w: Type is %q, the event's is %q", ErrInvalidEnvelope, clip(env.Type, maxName), r.name)
	case env.Time.IsZero():
		return fmt.Errorf("%w: no Time", ErrInvalidEnvelope)
	}
	return b.allowed(ctx, env)
}

// allowed says what is wrong with what an event says of itself, and whether its flow may go on.
func (b *Bus) allowed(ctx context.Context, env *Envelope) error {
	switch {
	case env.Version < 1:
		return fmt.Errorf("%w: version %d of %s", ErrInvalidEnvelope, env.Version, env.Type)
	case len(env.Key) > maxKey:
		return fmt.Errorf("%w: %d bytes, at most %d", ErrKeyTooLarge, len(env.Key), maxKey)
	case env.Hops > b.hopLimit:
		return fmt.Errorf("%w: %s", ErrHopLimit, path(ctx, env))
	}
	return nil
}

// path tells where a chain of causes that is too long ends.
func path(ctx context.Context, env *Envelope) string {
	d := FromContext(ctx)
	return fmt.Sprintf("%s would be hop %d of flow %q, published by %s while it handled %s",
		env.Type, env.Hops, clip(env.CorrelationID(), maxName), d.Subscriber, d.Type)
}
