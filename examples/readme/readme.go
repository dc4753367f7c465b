// Package readme has the code that the README shows, so that it is compiled. A test compares the two.
package readme

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/bridge"
	"github.com/jitney-go/jitney/deadletter"
	"github.com/jitney-go/jitney/examples/readme/orders"
	"github.com/jitney-go/jitney/examples/readme/pricing"
	"github.com/jitney-go/jitney/examples/readme/rates"
	"github.com/jitney-go/jitney/examples/readme/stock"
	"github.com/jitney-go/jitney/why"
)

var (
	errCardRefused     = errors.New("card refused")
	errTooManyRequests = errors.New("too many requests")
	errTestOrder       = errors.New("test order")
)

func charge(context.Context, string, int64) error            { return nil }
func ship(context.Context, orders.Placed) error              { return nil }
func insert(context.Context, string, []orders.Placed) error  { return nil }
func (provider) Charge(context.Context, string, int64) error { return nil }

type provider struct{}

var (
	gateway provider
	log     = slog.Default()
)

// First is the first code that the README shows.
func First(ctx context.Context) error {
	b := jitney.New()

	jitney.Subscribe(b, "billing", func(ctx context.Context, e orders.Placed) error {
		return charge(ctx, e.OrderID, e.Cents)
	}, jitney.WithRetry(jitney.Retry{Attempts: 5}))

	err := b.Publish(ctx, orders.Placed{OrderID: "1", Cents: 4200})
	// …
	err = errors.Join(err, b.Shutdown(ctx)) // nothing accepted is lost, or it is named in err
	return err
}

type publisher interface {
	Publish(ctx context.Context, events ...jitney.Event) error
}

type Checkout struct{ bus publisher }

func (c *Checkout) Buy(ctx context.Context, orderID string, cents int64) error {
	// … store the order …
	return c.bus.Publish(ctx, orders.Placed{OrderID: orderID, Cents: cents})
}

// again has those take an event that did not.
func again(ctx context.Context, b *jitney.Bus, err error) error {
	switch e := err.(type) {
	case *jitney.PublishError:
		return b.Forward(ctx, e.Envelope, e.Subscribers()...) // repeats it for nobody else
	case interface{ Unwrap() []error }: // of several events
		err = nil
		for _, one := range e.Unwrap() {
			err = errors.Join(err, again(ctx, b, one))
		}
	}
	return err
}

// Again publishes, and tries again once what has not arrived.
func Again(ctx context.Context, b *jitney.Bus, events ...jitney.Event) error {
	return again(ctx, b, b.Publish(ctx, events...))
}

// Retries is the module that retries.
func Retries(b *jitney.Bus) {
	jitney.Subscribe(b, "billing", func(ctx context.Context, e orders.Placed) error {
		err := gateway.Charge(ctx, e.OrderID, e.Cents)
		switch {
		case errors.Is(err, errCardRefused):
			return jitney.Permanent(err) // no further attempt can help
		case errors.Is(err, errTooManyRequests):
			return jitney.RetryAfter(time.Minute, err) // not before then
		case errors.Is(err, errTestOrder):
			return jitney.Skip(err) // none of our business: neither handled nor failed
		}
		return err // nil: handled; else again, as the retry policy says
	},
		jitney.WithRetry(jitney.Retry{Attempts: 5, Base: 100 * time.Millisecond, Max: 30 * time.Second}),
		jitney.WithTimeout(10*time.Second), // of each attempt
		jitney.WithWorkers(8))              // while one key waits, the others flow
}

// DeadLetters is the module that dead-letters, and its operator.
func DeadLetters(ctx context.Context, b *jitney.Bus) error {
	letters := &jitney.MemoryDeadLetters{Limit: 1000}
	inbox := &jitney.MemoryInbox{}

	jitney.Subscribe(b, "shipping", ship,
		jitney.WithDeadLetters(letters),
		jitney.WithIdempotency(inbox))

	list, err := letters.List(ctx, jitney.DeadLetterFilter{Subscriber: "shipping"})
	for _, l := range list {
		fmt.Println(l.Envelope, l.Reason, l.LastError())
		err = b.Redeliver(ctx, l) // waits for the outcome; nil: handled, and out of the store
	}
	return err
}

// Audit hears everything.
func Audit(b *jitney.Bus) {
	jitney.Subscribe(b, "audit", func(ctx context.Context, e jitney.Event) error {
		d := jitney.FromContext(ctx) // which event, which flow, which attempt
		log.InfoContext(ctx, "heard", "type", d.Type, "id", d.ID, "flow", d.CorrelationID(), "cause", d.CausationID)
		return nil
	})
}

// Remind has something published later, and takes it back.
func Remind(ctx context.Context, b *jitney.Bus) error {
	id, err := b.Schedule(ctx, time.Now().Add(48*time.Hour), orders.ReminderDue{OrderID: "1"})
	if err != nil {
		return err
	}
	// … paid meanwhile:
	return b.Unschedule(ctx, id)
}

type catalogue struct{}

func (catalogue) Find(context.Context, string) (pricing.Price, error) { return pricing.Price{}, nil }

var prices catalogue

// Asks is the module that asks, and the one that answers.
func Asks(ctx context.Context, b *jitney.Bus) (int64, error) {
	jitney.Answer(b, "pricing", func(ctx context.Context, q pricing.PriceOf) (pricing.Price, error) {
		return prices.Find(ctx, q.SKU)
	})

	price, err := jitney.Ask(ctx, b, pricing.PriceOf{SKU: "1"})
	return price.Cents, err
}

type service struct{}

func (service) Convert(context.Context, rates.Changed) error { return nil }
func (service) Count() stock.Counted                         { return stock.Counted{} }

// Late is the module that hears some events alone, comes late, and has one that costs much.
func Late(ctx context.Context, svc service) (err error) {
	b := jitney.New(jitney.WithRetained[rates.Changed](100)) // the last event of each of 100 currencies

	jitney.Subscribe(b, "converter", svc.Convert,
		jitney.WithSticky(), // begins with those that are kept
		jitney.WithFilter(func(e rates.Changed) bool { return e.Currency != "XXX" }))

	if jitney.Listened[stock.Counted](b) { // nobody: spare the work
		err = b.Publish(ctx, svc.Count())
	}
	return errors.Join(err, b.Shutdown(ctx))
}

func pay(context.Context, orders.Placed) error { return nil }
func tenantOf(env *jitney.Envelope) string     { return env.Headers["tenant"] }

// Careful is the module whose partner is down at times.
func Careful(b *jitney.Bus, letters jitney.DeadLetterStore) {
	jitney.Subscribe(b, "payments", pay, jitney.WithWorkers(8),
		// While the gateway is down, events wait; it is tried with one of them, and none dies of the outage.
		jitney.WithBreaker(jitney.Breaker{Failures: 10, Pause: 10 * time.Second}),
		// What follows a dead letter of its key waits for it, up to 10,000 events; other keys flow.
		jitney.WithDeadLetters(letters), jitney.WithParking(10_000),
		// No tenant's million events delay another's hundred by more than a hundred turns.
		jitney.WithFairShare(jitney.FairShare{By: tenantOf}))
}

// OnDuty sends dead letters back.
func OnDuty(ctx context.Context, b *jitney.Bus, letters jitney.DeadLetterStore) error {
	groups, err := deadletter.Groups(ctx, letters, jitney.DeadLetterFilter{})
	for _, g := range groups {
		fmt.Println(g.Count, g.Subscriber, g.Fingerprint, g.First, g.Last)
	}
	if err != nil || len(groups) == 0 {
		return err
	}

	job := deadletter.Redrive{
		Bus: b, Store: letters, Filter: jitney.DeadLetterFilter{Subscriber: "payments"},
		Only:   groups[0].Has, // the letters of that cause
		DryRun: false,         // true: look, do not touch
		Canary: 1, Rate: 50, MaxFailures: 0.05,
		OnProgress: func(r deadletter.Report) { fmt.Println(r) },
	}
	report, err := job.Run(ctx) // later: job.From = report.Checkpoint
	fmt.Println(report)
	return err
}

// Across is the way to another process, and back.
func Across(b *jitney.Bus, stream jitney.Journal, letters jitney.DeadLetterStore) (out, in *bridge.Way) {
	shop := bridge.Ends{Bus: b, Here: "shop", Engine: stream, There: "ORDERS", System: "nats"}
	out = bridge.Out[orders.Placed](shop, "placed-out", jitney.WithDeadLetters(letters))
	in = bridge.In[orders.ReminderDue](shop, "reminders-in", jitney.WithDeadLetters(letters))
	return out, in
}

// Why prints what an invoice has led to.
func Why() {
	recorder := &why.Recorder{}
	b := jitney.New(jitney.WithRecorder(recorder))
	_ = b.Publish(jitney.ContextWithCorrelation(context.Background(), "invoice-7"), orders.Placed{OrderID: "7"})

	flow, known := recorder.Flow("invoice-7") // its correlation; or FlowOf an event's ID
	fmt.Print(flow)                           // or flow.Mermaid()
	fmt.Println(known)
}

// Batches is a projection.
func Batches(b *jitney.Bus) {
	jitney.SubscribeBatch(b, "projection", func(ctx context.Context, batch []orders.Placed) error {
		return insert(ctx, "placed", batch)
	}, jitney.WithBatch(500, 100*time.Millisecond)) // that many are there, or the first has waited so long
}
