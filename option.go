package jitney

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// Option configures a [Bus]. Every [SubscribeOption] is one too: given to New it is the default of all
// subscriptions. The order of options does not matter, but for that of middlewares.
//
// A subscription's own options take the place of the defaults; filters and middlewares add up. It cannot take back
// WithSync, WithEphemeral, WithSideEffects, WithSticky, WithWorkers and WithFairShare; WithBreaker only by a Breaker that
// never opens (Failures below 0).
type Option interface {
	applyBus(*busConfig)
}

// SubscribeOption configures a [Subscription].
type SubscribeOption interface {
	Option
	applySubscription(*subscribeConfig)
}

// AnswerOption configures an answerer, made by [Answer], as well as a [Subscription].
type AnswerOption interface {
	SubscribeOption
	applyAnswer(*subscribeConfig)
}

type busConfig struct {
	logger         *slog.Logger
	source         string
	hooks          []func(context.Context, *Envelope) error
	publishTimeout time.Duration
	grace          time.Duration
	hopLimit       int
	tracers        trace.TracerProvider
	meters         metric.MeterProvider
	links          bool
	baggage        []string
	recorders      recorders
	journal        Journal
	retained       []retainedType
	defaults       []SubscribeOption
}

type subscribeConfig struct {
	buffer      int
	reserve     int
	overflow    Overflow
	batches     bool
	batch       int
	batchWait   time.Duration
	workers     int
	sync        bool
	answers     bool
	timeout     time.Duration
	slow        time.Duration
	retry       RetryPolicy
	letters     DeadLetterStore
	inbox       Inbox
	businessKey func(Event) string
	parking     int
	breaker     *Breaker
	fair        *FairShare
	ephemeral   bool
	from        Start
	effects     bool
	filters     []filter
	middlewares []Middleware

	sticky, stickyByDefault bool
}

func newBusConfig(opts []Option) busConfig {
	c := busConfig{
		logger:         slog.Default(),
		publishTimeout: 30 * time.Second,
		grace:          5 * time.Second,
		hopLimit:       100,
	}
	for _, o := range opts {
		mustHave("New", o != nil)
		o.applyBus(&c)
	}
	return c
}

func newSubscribeConfig(defaults, opts []SubscribeOption) subscribeConfig {
	c := subscribeConfig{buffer: 1024, reserve: 65536, slow: 5 * time.Second, batch: 100, batchWait: 100 * time.Millisecond}
	for _, o := range defaults {
		o.applySubscription(&c)
	}
	c.stickyByDefault = c.sticky
	for _, o := range opts {
		mustHave("Subscribe: option", o != nil)
		o.applySubscription(&c)
	}
	return c
}

// newAnswerConfig takes of the defaults what is of any use to an answerer.
func newAnswerConfig(defaults []SubscribeOption, opts []AnswerOption) subscribeConfig {
	c := subscribeConfig{buffer: 1024, slow: 5 * time.Second, sync: true, answers: true}
	for _, o := range defaults {
		if o, ok := o.(AnswerOption); ok {
			o.applyAnswer(&c)
		}
	}
	for _, o := range opts {
		mustHave("Answer: option", o != nil)
		o.applyAnswer(&c)
	}
	return c
}

type busOption func(*busConfig)

func (o busOption) applyBus(c *busConfig) { o(c) }

type subscribeOption func(*subscribeConfig)

func (o subscribeOption) applyBus(c *busConfig) { c.defaults = append(c.defaults, o) }

func (o subscribeOption) applySubscription(c *subscribeConfig) { o(c) }

type answerOption struct{ subscribeOption }

func (o answerOption) applyBus(c *busConfig) { c.defaults = append(c.defaults, o) }

func (o answerOption) applyAnswer(c *subscribeConfig) { o.applySubscription(c) }

// WithLogger sets where the bus logs. Default slog.Default(), as it is when New is called.
func WithLogger(l *slog.Logger) Option {
	mustHave("WithLogger", l != nil)
	return busOption(func(c *busConfig) { c.logger = l })
}

// WithSource sets the Source of the envelopes that the bus makes: the program's name. Default "".
func WithSource(name string) Option {
	return busOption(func(c *busConfig) { c.source = name })
}

// WithPublishHook adds a function that Publish calls for each envelope it has made, before anybody gets
// it: to add headers, for which there is a map, or to refuse the event by an error. ctx is the publisher's. A hook must
// not keep the envelope's maps, nor publish. Hooks run in the order given, and for several publishers at once; for
// Schedule and Recur when the event is scheduled. Forward and Ask do not call them. Default none.
func WithPublishHook(hook func(ctx context.Context, env *Envelope) error) Option {
	mustHave("WithPublishHook", hook != nil)
	return busOption(func(c *busConfig) { c.hooks = append(c.hooks, hook) })
}

// WithPublishTimeout bounds how long a publish waits for room in full queues, even with a context that
// never ends. Default 30 s.
func WithPublishTimeout(d time.Duration) Option {
	mustBe("WithPublishTimeout", d > 0, d)
	return busOption(func(c *busConfig) { c.publishTimeout = d })
}

// WithGrace sets how long Shutdown and Close wait, past their context's end, for handlers to notice that
// theirs has ended. With a journal, the last tenth of that is for storing what has been settled. Default 5 s.
func WithGrace(d time.Duration) Option {
	mustBe("WithGrace", d >= 0, d)
	return busOption(func(c *busConfig) { c.grace = d })
}

// WithHopLimit bounds the chain of events and questions that cause each other: one that would have more causes
// before it is refused with ErrHopLimit. Default 100.
func WithHopLimit(n int) Option {
	mustBe("WithHopLimit", n > 0, n)
	return busOption(func(c *busConfig) { c.hopLimit = n })
}

// WithTracerProvider sets where spans come from: "publish <type>" and, for each attempt, "handle <type>".
// Default: the global one, if an SDK is installed when New is called; if not, there are no spans, and they
// cost nothing. For an SDK that is installed later, give otel.GetTracerProvider().
func WithTracerProvider(p trace.TracerProvider) Option {
	mustHave("WithTracerProvider", p != nil)
	return busOption(func(c *busConfig) { c.tracers = p })
}

// WithMeterProvider sets where measurements go; the README has a table of them. The bus's counters and
// gauges are read when the SDK asks, also after Shutdown. Default: the global one, if an SDK is installed
// when New is called; if not, nothing is measured. For an SDK that is installed later, give
// otel.GetMeterProvider().
func WithMeterProvider(p metric.MeterProvider) Option {
	mustHave("WithMeterProvider", p != nil)
	return busOption(func(c *busConfig) { c.meters = p })
}

// WithSpanLinks makes each "handle" span the root of a trace of its own, linked to the "publish" span that it
// is a child of by default. For flows that run for so long, or fan out so much, that one trace would be
// too large.
func WithSpanLinks() Option {
	return busOption(func(c *busConfig) { c.links = true })
}

// WithBaggage lets the members of OpenTelemetry baggage that have these keys travel from a publisher's context
// to the handlers', in the envelope's header "baggage". Default: none does.
func WithBaggage(keys ...string) Option {
	return busOption(func(c *busConfig) { c.baggage = append(c.baggage, keys...) })
}

// WithRecorder has r told what happens on the bus. Given several times, all of them are. Default none, and then it
// costs nothing.
func WithRecorder(r Recorder) Option {
	mustHave("WithRecorder", r != nil)
	return busOption(func(c *busConfig) { c.recorders = append(c.recorders, r) })
}

// WithJournal makes the bus durable: Publish returns when j has stored the events, and subscriptions are fed from j,
// each from where it was, whatever has happened to the process since. All are durable but those WithSync and
// WithEphemeral. Default: queues are memory.
func WithJournal(j Journal) Option {
	mustHave("WithJournal", j != nil)
	return busOption(func(c *busConfig) { c.journal = j })
}

// WithRetained has the bus keep the last event of type T of each key, for subscriptions made WithSticky: settings,
// prices, states. It keeps those of the keys that were published last, at most so many; events without a key are one
// key's. What is forgotten is counted, and the first one of a type is logged. An event is kept whoever hears it, but
// not if Publish refuses it. T is an event's own type, and is named once.
//
// With a journal New panics: there a new subscription has all that has been stored, WithStart(FromBeginning()). Default:
// nothing is kept.
func WithRetained[T Event](keys int) Option {
	mustBe("WithRetained", keys > 0, keys)
	typ := reflect.TypeFor[T]()
	return busOption(func(c *busConfig) { c.retained = append(c.retained, retainedType{typ, keys}) })
}

// WithStart sets where a durable subscription begins whose name the journal does not know yet. With FromBeginning()
// it gets all that the journal has. On a subscription that is not durable it has no effect. Default: the end.
func WithStart(from Start) SubscribeOption {
	return subscribeOption(func(c *subscribeConfig) { c.from = from })
}

// WithSideEffects says that what a durable subscription does cannot be taken back, such as a mail: a journal replays
// events to it only if it is told that this is meant. Default: it replays them.
func WithSideEffects() SubscribeOption {
	return subscribeOption(func(c *subscribeConfig) { c.effects = true })
}

// WithEphemeral keeps a subscription of a bus WithJournal out of the journal: its queue is memory, and it hears what
// is published while it is there. For caches and the like, which begin anew with the process. Without a journal it has
// no effect. Default: durable.
func WithEphemeral() SubscribeOption {
	return subscribeOption(func(c *subscribeConfig) { c.ephemeral = true })
}

// WithBuffer sets how many deliveries a queue holds that are not in the handler: those queued and those
// between two attempts. Default 1024.
func WithBuffer(n int) SubscribeOption {
	mustBe("WithBuffer", n > 0, n)
	return subscribeOption(func(c *subscribeConfig) { c.buffer = n })
}

// WithReserve sets how many more than its buffer a queue with overflow policy Block holds for
// publishing handlers, who must not wait. Beyond it they get ErrReserveFull. It has no effect on a durable subscription,
// which no publisher reaches. Default 65,536.
func WithReserve(n int) SubscribeOption {
	mustBe("WithReserve", n >= 0, n)
	return subscribeOption(func(c *subscribeConfig) { c.reserve = n })
}

// WithOverflow sets what a full queue does with one more event. Default Block. A durable subscription fetches no more
// than it has room for, so it has no effect there.
func WithOverflow(o Overflow) SubscribeOption {
	mustBe("WithOverflow", o >= Block && o <= DropOldest, int(o))
	return subscribeOption(func(c *subscribeConfig) { c.overflow = o })
}

// WithWorkers gives the subscription a lane per key and n goroutines that work them off: events of one
// key stay in order and are handled one at a time, those of different keys at the same time, and while
// one key waits for another attempt the others flow. Events without a key share one lane. Even
// WithWorkers(1) gives up the order across keys. Default: one lane for all events, one goroutine.
func WithWorkers(n int) SubscribeOption {
	mustBe("WithWorkers", n > 0, n)
	return subscribeOption(func(c *subscribeConfig) { c.workers = n })
}

// WithBatch has a batch of SubscribeBatch begin when n events are there, or the first of them has waited for d. With 0 for
// d it is what has come while the handler was busy. It has no effect on Subscribe. Default 100 events, 100 ms.
func WithBatch(n int, d time.Duration) SubscribeOption {
	mustBe("WithBatch", n > 0, n)
	mustBe("WithBatch", d >= 0, d)
	return subscribeOption(func(c *subscribeConfig) { c.batch, c.batchWait = n, d })
}

// WithSync makes the handler run in its publisher's goroutine, within the publisher's context: Publish
// returns the handler's error. Other subscribers' queues get the event first. There is no queue, so
// WithBuffer, WithReserve, WithOverflow, WithWorkers, WithParking, WithBreaker and WithFairShare have no
// effect, and as many handlers run at once as publishers publish. Retries are waited for in Publish. If all fail, the
// PublishError names the subscription, although it has accepted the event: Forward to it runs the handler again, beside
// the dead letter. Default: a queue and a goroutine.
func WithSync() SubscribeOption {
	return subscribeOption(func(c *subscribeConfig) { c.sync = true })
}

// WithTimeout ends the context of an attempt after d, with the cause ErrTimeout. A handler that succeeds
// nevertheless has succeeded. Default 0: no timeout.
func WithTimeout(d time.Duration) AnswerOption {
	mustBe("WithTimeout", d >= 0, d)
	return answerOption{func(c *subscribeConfig) { c.timeout = d }}
}

// WithSlowAfter sets when a handler that still runs, or a publisher that still waits for room, is logged
// by name. 0 switches it off. Default 5 s.
func WithSlowAfter(d time.Duration) AnswerOption {
	mustBe("WithSlowAfter", d >= 0, d)
	return answerOption{func(c *subscribeConfig) { c.slow = d }}
}

// WithRetry sets when a failed delivery is tried again; nil never. Default nil: one attempt.
func WithRetry(p RetryPolicy) SubscribeOption {
	return subscribeOption(func(c *subscribeConfig) { c.retry = p })
}

// WithDeadLetters sets where deliveries go that are given up; nil only logs and counts them. Default nil.
func WithDeadLetters(store DeadLetterStore) SubscribeOption {
	return subscribeOption(func(c *subscribeConfig) { c.letters = store })
}

// WithIdempotency makes the handler run once for an event that comes twice, by its ID or by the key of
// WithIdempotencyKey. Default nil: no inbox.
func WithIdempotency(inbox Inbox) SubscribeOption {
	return subscribeOption(func(c *subscribeConfig) { c.inbox = inbox })
}

// WithIdempotencyKey derives the inbox's key from the event, for sources that send the same fact twice
// under two IDs. "" stands for the event's ID. Events of one key must be the same as JSON: another
// payload under a used key is a dead letter, with ErrKeyReuse, not a duplicate. key may be called by several goroutines
// at once. Without WithIdempotency it has no effect. Default: the event's ID.
func WithIdempotencyKey(key func(Event) string) SubscribeOption {
	return subscribeOption(func(c *subscribeConfig) { c.businessKey = key })
}

// WithParking keeps the order of a key across a dead letter: when a delivery is given up, up to n later ones
// wait behind its letter, key by key, while other keys flow. Redeliver, once it succeeds, or Discard lets
// them go on, in order, before what has come since. When n are parked, the next one stays in its lane, which
// then waits too; that is logged. Events without a key have one order, as if their key were "", one per
// share with WithFairShare. It needs WithDeadLetters; with WithSync it has no effect. Default 0: events
// go on past a dead letter.
//
// Flush counts what is parked as settled, but not a lane that waits for room in the parking. Shutdown and
// Close wait for neither, and return both. With a journal, what is parked is the journal's: after a restart it comes
// again, and waits behind the letter as before, if the store still has it.
func WithParking(n int) SubscribeOption {
	mustBe("WithParking", n >= 0, n)
	return subscribeOption(func(c *subscribeConfig) { c.parking = n })
}

// WithBreaker gives the subscription a circuit breaker; see Breaker. Given to New, each subscription has
// one of its own. With WithSync it has no effect. Default: none.
func WithBreaker(b Breaker) SubscribeOption {
	mustBe("WithBreaker: Rate", validRate(b.Rate), b.Rate)
	return subscribeOption(func(c *subscribeConfig) { c.breaker = &b })
}

// WithFairShare has deliveries taken share by share instead of in the order they came; see FairShare. It
// gives the subscription a lane per key, as WithWorkers does, and one per share for events without a key. A
// share that holds less than an equal part of the buffer gets in although others have filled it, so that
// the buffer's bound is exceeded, at most twofold; with DropOldest a share pushes out its own. With WithSync
// it has no effect. Default: first come, first served.
func WithFairShare(f FairShare) SubscribeOption {
	return subscribeOption(func(c *subscribeConfig) { c.fair = &f })
}

// WithFilter has the subscription hear only those events that wanted returns true for. The others are no deliveries:
// they are counted as Filtered, and a durable subscription settles them. T is the subscription's type, or an interface
// that it implements, such as [Event] for a filter that is given to New. With several filters, all must agree. Default:
// all events are heard.
//
// wanted is called in Publish, before the event is in the queue; for a durable subscription when the event is fetched
// from the journal, and WithSticky in Subscribe for what is kept. It is called by several goroutines at once, must be
// quick, and depend on the event alone. An event for which it panics is delivered, so that it is not lost; that is
// counted and logged. Forward to named subscribers and Redeliver do not ask it.
func WithFilter[T Event](wanted func(e T) bool) SubscribeOption {
	mustHave("WithFilter", wanted != nil)
	f := filter{reflect.TypeFor[T](), func(e Event) bool { return wanted(e.(T)) }}
	return subscribeOption(func(c *subscribeConfig) { c.filters = append(c.filters, f) })
}

// WithSticky gives the subscription, before all others, the events that the bus keeps (WithRetained) at the moment of
// Subscribe, in the order they were published. None comes twice, and none is lost between those and what is published
// from then on. They are deliveries like all others, and may exceed the buffer. It cannot be had WithSync, nor with a
// journal, nor where the bus keeps nothing of the subscription's type: Subscribe panics, unless the option was given
// to New, which has no effect there. Default: the subscription hears what is published from now on.
func WithSticky() SubscribeOption {
	return subscribeOption(func(c *subscribeConfig) { c.sticky = true })
}

// WithMiddleware wraps the handler; see Middleware. Given to New the middlewares are outside of those
// given to Subscribe. Default none.
func WithMiddleware(mw ...Middleware) AnswerOption {
	for _, m := range mw {
		mustHave("WithMiddleware", m != nil)
	}
	return answerOption{func(c *subscribeConfig) { c.middlewares = append(c.middlewares, mw...) }}
}

func mustBe(option string, ok bool, value any) {
	if !ok {
		panic(fmt.Sprintf("jitney: %s(%v): out of range, at %s", option, value, caller()))
	}
}

func mustHave(option string, ok bool) {
	if !ok {
		panic(fmt.Sprintf("jitney: %s(nil), at %s", option, caller()))
	}
}
