package jitney

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// tracer makes a bus's spans. Their kind is INTERNAL: OpenTelemetry's messaging conventions are for brokers,
// and a producer and a consumer in one service would draw a loop in its service graph.
type tracer struct {
	trace.Tracer
	links bool
}

// What spans and measurements say of a delivery. No payload, key or header value is among it.
const (
	attrType         = attribute.Key("jitney.event.type")
	attrID           = attribute.Key("jitney.event.id")
	attrCorrelation  = attribute.Key("jitney.correlation_id")
	attrCausation    = attribute.Key("jitney.causation_id")
	attrSource       = attribute.Key("jitney.source")
	attrSubscriber   = attribute.Key("jitney.subscriber")
	attrAttempt      = attribute.Key("jitney.attempt")
	attrRedeliveries = attribute.Key("jitney.redeliveries")
	attrOutcome      = attribute.Key("jitney.outcome")
	attrWait         = attribute.Key("jitney.retry.wait") // seconds
	attrLetter       = attribute.Key("jitney.dead_letter.id")
	attrReason       = attribute.Key("jitney.dead_letter.reason")
	attrRefused      = attribute.Key("jitney.refused") // names of subscribers
	attrErrorType    = attribute.Key("error.type")
	attrErrorText    = attribute.Key("exception.message")
	attrErrorClass   = attribute.Key("exception.type")
	attrErrorStack   = attribute.Key("exception.stacktrace")
)

var outcomes = [...]string{
	handled: "handled", skipped: "skipped", dead: "dead", again: "retry", held: "held", spared: "spared", untried: "untried", recalled: "recalled", failed: "failed", interrupted: "interrupted",
}

func (end ending) String() string { return outcomes[end] }

// published ends the span of a publication. The event has been refused by some subscribers, or, for err, by
// all of them.
func published(ctx context.Context, refusals []Refusal, err error) {
	span := trace.SpanFromContext(ctx)
	defer span.End()
	if !span.IsRecording() {
		return
	}
	if err != nil {
		fail(span, err)
	}
	if len(refusals) > 0 {
		names := make([]string, len(refusals))
		for i, r := range refusals {
			names[i] = r.Subscriber
		}
		span.SetAttributes(attrRefused.StringSlice(names))
		fail(span, refusals[0].Err)
	}
}

// trace begins the span of p's publication, and returns the context that has it.
func (p *posting) trace(ctx context.Context, t *tracer) context.Context {
	spanCtx, span := t.Start(ctx, p.route.publish)
	p.ctx = spanCtx
	tr := p.env.traced
	tr.span, tr.route = span.SpanContext(), p.route
	if span.IsRecording() {
		tr.id = p.env.name()
		if cause := scopeOf(ctx); cause != nil {
			tr.cause = cause.env.name()
		}
		label(span, p.env)
	}
	return p.ctx
}

// name is the event's ID as text.
func (e *Envelope) name() string {
	if t := e.traced; t != nil && t.id != "" {
		return t.id
	}
	return idText(e.ID)
}

func (e *Envelope) causeName() string {
	if t := e.traced; t != nil && t.cause != "" {
		return t.cause
	}
	return idText(e.CausationID)
}

// scratch holds lists of attributes while a span copies them.
var scratch = sync.Pool{New: func() any { return new([9]attribute.KeyValue) }}

// label says in span which event it is about, and what else there is to say.
func label(span trace.Span, e *Envelope, more ...attribute.KeyValue) {
	room := scratch.Get().(*[9]attribute.KeyValue)
	defer scratch.Put(room)
	list := room[:0]
	id, flow := e.name(), e.Correlation
	if flow == "" {
		flow = id
	}
	list = append(list, attrType.String(e.Type), attrID.String(id), attrCorrelation.String(flow))
	if e.CausationID != uuid.Nil {
		list = append(list, attrCausation.String(e.causeName()))
	}
	span.SetAttributes(append(list, more...)...)
}

// observation is one attempt, as seen from outside.
type observation struct {
	s     *Subscription
	ctx   context.Context // the attempt's, with its span
	span  trace.Span      // nil without a tracer
	meter *meter          // nil without one
	begin time.Duration
	began time.Time // zero without recorders
	done  bool

	number int // of the attempt
}

// watch makes one attempt, and has telemetry look on.
func (s *Subscription) watch(ctx context.Context, t *telemetry, e *entry) verdict {
	o := observation{s: s, meter: t.meter, number: e.attempt()}
	o.observe(ctx, t.tracer, e)
	defer o.lost(e)
	r := s.attempt(o.ctx, e)
	v := s.judge(o.ctx, e, r)
	if !o.began.IsZero() {
		s.told(e, v, tried{o.number, o.began, time.Since(o.began), r.err})
	}
	o.end(e, r, v, v.ending.String())
	return v
}

// observe begins to look at an attempt of e, which has ctx for its context.
func (o *observation) observe(ctx context.Context, t *tracer, e *entry) {
	o.ctx = ctx
	if t != nil {
		o.ctx, o.span = o.s.span(ctx, t, e.env)
	}
	if o.s.bus.recorders != nil {
		o.began = time.Now()
	}
	if o.meter != nil {
		o.begin = time.Since(start)
		if o.number == 1 && !o.s.sync {
			o.meter.waited(o.ctx, o.s, start.Add(o.begin).Sub(e.at()))
		}
	}
}

// start is what time is measured from: to read how long ago it was is cheaper than to read the time.
var start = time.Now()

// span begins the span of an attempt: a question's is a child of its asker's, whatever links there are.
func (s *Subscription) span(ctx context.Context, t *tracer, env *Envelope) (context.Context, trace.Span) {
	if s.answers {
		return t.Start(ctx, "ask "+s.typ)
	}
	return t.handle(ctx, env)
}

// handle begins the span of an attempt to handle an event.
func (t *tracer) handle(ctx context.Context, env *Envelope) (context.Context, trace.Span) {
	var name string
	if t := env.traced; t != nil {
		name = t.route.deal
	} else {
		name = "handle " + env.Type
	}
	if !t.links {
		return t.Start(ctx, name)
	}
	return t.Start(ctx, name, trace.WithNewRoot(), trace.WithLinks(trace.LinkFromContext(ctx)))
}

// end is called when the attempt has been judged.
func (o *observation) end(e *entry, r result, v verdict, outcome string) {
	o.done = true
	if o.meter != nil {
		o.meter.took(o.ctx, o.s, outcome, r.err, time.Since(start)-o.begin)
	}
	if o.span == nil {
		return
	}
	defer o.span.End()
	if o.span.IsRecording() {
		o.describe(e, outcome)
		o.explain(e, r, v)
	}
}

// describe says what attempt it was, and how it ended.
func (o *observation) describe(e *entry, outcome string) {
	if e.again() != nil {
		o.span.SetAttributes(attrRedeliveries.Int(e.again().letter.Redeliveries + 1))
	}
	label(o.span, e.env, attrSubscriber.String(o.s.name), attrOutcome.String(outcome), attrAttempt.Int(o.number))
}

// explain says why it did not end well, and what comes of that.
func (o *observation) explain(e *entry, r result, v verdict) {
	if r.err == nil {
		return
	}
	switch v.ending {
	case skipped:
		o.span.AddEvent("skip", trace.WithAttributes(attrErrorText.String(errorText(r.err))))
		return
	case again, held:
		o.span.AddEvent(v.ending.String(), trace.WithAttributes(attrWait.Float64(v.wait.Seconds())))
	}
	if e.file != nil && e.file.letter != nil {
		l := e.file.letter
		o.span.AddEvent("dead letter", trace.WithAttributes(attrLetter.String(l.ID.String()), attrReason.String(l.Reason)))
	}
	fail(o.span, r.err)
}

// lost ends an observation whose goroutine is being ended by runtime.Goexit: what comes of the attempt is
// for the next worker to say.
func (o *observation) lost(e *entry) {
	if !o.done {
		o.end(e, result{err: &PanicError{Goexit: true}}, verdict{ending: interrupted}, "lost")
	}
}

// fail records err in span.
func fail(span trace.Span, err error) {
	class, text := errorClass(err), errorText(err)
	span.SetStatus(codes.Error, text)
	span.SetAttributes(attrErrorType.String(class))
	list := append(make([]attribute.KeyValue, 0, 3), attrErrorClass.String(class), attrErrorText.String(text))
	if s := stackOf(err); s != "" {
		list = append(list, attrErrorStack.String(s))
	}
	span.AddEvent("exception", trace.WithAttributes(list...))
}
