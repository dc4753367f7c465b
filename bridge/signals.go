package bridge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/jitney-go/jitney"
)

// scopeName names this package to OpenTelemetry.
const scopeName = "github.com/jitney-go/jitney/bridge"

// What OpenTelemetry's conventions for messaging call what is said here.
const (
	attrSystem        = attribute.Key("messaging.system")
	attrDestination   = attribute.Key("messaging.destination.name")
	attrOperation     = attribute.Key("messaging.operation.name")
	attrOperationType = attribute.Key("messaging.operation.type")
	attrGroup         = attribute.Key("messaging.consumer.group.name")
	attrMessage       = attribute.Key("messaging.message.id")
	attrConversation  = attribute.Key("messaging.message.conversation_id")
	attrErrorType     = attribute.Key("error.type")
	attrServer        = attribute.Key("server.address")
	attrPort          = attribute.Key("server.port")
)

// signals are a way's spans and measurements. The trace context that an event came with is that of its creation, and
// stays as it is: the spans here belong to its trace, and nothing is a child of theirs at the other side. A repeat would
// be another envelope otherwise.
type signals struct {
	tracer trace.Tracer
	span   string
	kind   trace.SpanKind
	about  []attribute.KeyValue // of spans
	common []attribute.KeyValue // of measurements

	each     bool // attempt counts, not each event
	messages metric.Int64Counter
	duration metric.Float64Histogram
}

// sending are the signals of a way out.
func sending(ends Ends) *signals {
	s := newSignals(ends, "send", trace.SpanKindProducer)
	m := ends.MeterProvider.Meter(scopeName)
	s.each = true
	s.messages, _ = m.Int64Counter("messaging.client.sent.messages", metric.WithUnit("{message}"),
		metric.WithDescription("Events that were to be stored in an engine, each attempt."))
	s.duration, _ = m.Float64Histogram("messaging.client.operation.duration", metric.WithUnit("s"),
		metric.WithDescription("How long an engine took to store an event."), metric.WithExplicitBucketBoundaries(buckets...))
	return s
}

// receiving are the signals of a way in.
func receiving(ends Ends, name string) *signals {
	s := newSignals(ends, "process", trace.SpanKindConsumer, attrGroup.String(name))
	m := ends.MeterProvider.Meter(scopeName)
	s.messages, _ = m.Int64Counter("messaging.client.consumed.messages", metric.WithUnit("{message}"),
		metric.WithDescription("Events that an engine has given out."))
	s.duration, _ = m.Float64Histogram("messaging.process.duration", metric.WithUnit("s"),
		metric.WithDescription("How long the bus took to take an event."), metric.WithExplicitBucketBoundaries(buckets...))
	return s
}

func newSignals(ends Ends, operation string, kind trace.SpanKind, more ...attribute.KeyValue) *signals {
	common := append([]attribute.KeyValue{
		attrSystem.String(ends.System), attrDestination.String(ends.There), attrOperation.String(operation),
	}, append(more, whereIs(ends.Address)...)...)
	return &signals{
		tracer: ends.TracerProvider.Tracer(scopeName), span: operation + " " + ends.There, kind: kind,
		common: common, about: append(common[:len(common):len(common)], attrOperationType.String(operation)),
	}
}

func whereIs(address string) []attribute.KeyValue {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	var list []attribute.KeyValue
	if host != "" {
		list = append(list, attrServer.String(host))
	}
	if port, err := strconv.ParseUint(service, 10, 16); err == nil {
		list = append(list, attrPort.Int64(int64(port)))
	}
	return list
}

// buckets are those of the conventions.
var buckets = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}

// watch has an attempt to carry d's event looked on.
func (s *signals) watch(ctx context.Context, d *jitney.Delivery, carry func(context.Context) error) (err error) {
	ctx, span := s.tracer.Start(ctx, s.span, trace.WithSpanKind(s.kind), trace.WithAttributes(s.about...),
		trace.WithAttributes(attrMessage.String(d.ID.String()), attrConversation.String(d.CorrelationID())), created(d.Envelope))
	begin := time.Now()
	err = errLost
	defer func() {
		if r := recover(); r != nil {
			err = &jitney.PanicError{Value: r, Stack: debug.Stack()}
		}
		s.end(ctx, span, d, time.Since(begin), err)
	}()
	return carry(ctx)
}

// created links a span to the creation of env, if that was traced.
func created(env *jitney.Envelope) trace.SpanStartOption {
	parent, state := env.TraceParent()
	if parent == "" {
		return trace.WithLinks()
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": parent, "tracestate": state})
	return trace.WithLinks(trace.LinkFromContext(ctx))
}

// errLost stands for runtime.Goexit, of which the subscription tells more.
var errLost = errors.New("the goroutine has ended")

// end ends what watch has begun.
func (s *signals) end(ctx context.Context, span trace.Span, d *jitney.Delivery, took time.Duration, err error) {
	defer span.End()
	list := slices.Clone(s.common) // NewSet sorts it
	if err != nil {
		list = append(list, attrErrorType.String(classOf(err)))
		span.SetStatus(codes.Error, err.Error())
		span.SetAttributes(attrErrorType.String(classOf(err)))
		span.RecordError(err)
	}
	of := metric.WithAttributeSet(attribute.NewSet(list...))
	s.duration.Record(ctx, took.Seconds(), of)
	if s.each || d.Attempt == 1 {
		s.messages.Add(ctx, 1, of)
	}
}

// classOf names the kind of err: the Go type of the first error, from outside, that is more than a text or a wrapping,
// or else of the last one.
func classOf(err error) string {
	for {
		class := fmt.Sprintf("%T", err)
		inner := errors.Unwrap(err)
		if inner == nil || !strings.HasPrefix(class, "*fmt.") {
			return class
		}
		err = inner
	}
}
