package jitney

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

const attrBatch = attribute.Key("messaging.batch.message_count")

// watchBatch makes one attempt of a batch, and has telemetry look on.
func (s *Subscription) watchBatch(ctx context.Context, t *telemetry, b *batch) {
	o := observation{s: s, meter: t.meter, ctx: ctx}
	if t.tracer != nil {
		o.ctx, o.span = t.tracer.handleBatch(ctx, s, b)
	}
	if o.meter != nil {
		o.begin = time.Since(start)
		o.waitedFor(b)
	}
	defer func() {
		if !o.done { // runtime.Goexit takes the goroutine
			o.endBatch(&PanicError{Goexit: true}, "lost")
		}
	}()
	s.attemptBatch(o.ctx, b)
	err := b.whole
	for i := 0; err == nil && i < len(b.errs); i++ {
		if b.errs[i] != ErrNotTried {
			err = b.errs[i]
		}
	}
	s.judgeBatch(o.ctx, b, nil)
	o.endBatch(err, b.outcome())
}

// handleBatch begins the span of an attempt: of a trace of its own, for a batch has as many origins as events.
func (t *tracer) handleBatch(ctx context.Context, s *Subscription, b *batch) (context.Context, trace.Span) {
	links := make([]trace.Link, 0, len(b.entries))
	for _, e := range b.entries {
		links = append(links, trace.LinkFromContext(s.bus.carried(s.life, e.env), attrID.String(e.env.name())))
	}
	return t.Start(ctx, "handle batch "+s.typ, trace.WithNewRoot(), trace.WithLinks(links...),
		trace.WithAttributes(attrType.String(s.typ), attrSubscriber.String(s.name), attrBatch.Int(len(b.entries))))
}

// waitedFor records the size of b, and how long its deliveries waited for their first attempt.
func (o *observation) waitedFor(b *batch) {
	o.meter.batch.Record(o.ctx, int64(len(b.entries)), o.s.queuedOption...)
	for _, e := range b.entries {
		if e.attempt() == 1 && e.most == 0 {
			o.meter.waited(o.ctx, o.s, start.Add(o.begin).Sub(e.at()))
		}
	}
}

// endBatch is called when the attempt has been judged. err is the batch's, or the first of an event.
func (o *observation) endBatch(err error, outcome string) {
	o.done = true
	if o.meter != nil {
		o.meter.took(o.ctx, o.s, outcome, err, time.Since(start)-o.begin)
	}
	if o.span == nil {
		return
	}
	defer o.span.End()
	if !o.span.IsRecording() {
		return
	}
	o.span.SetAttributes(attrOutcome.String(outcome))
	if err != nil && outcome != outcomes[skipped] {
		fail(o.span, err)
	}
}

// outcome is what all of b's deliveries have in common, or "mixed".
func (b *batch) outcome() string {
	end := b.verdicts[0].ending
	for _, v := range b.verdicts {
		if v.ending != end {
			return "mixed"
		}
	}
	return end.String()
}
