package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/deadletter"
	"github.com/jitney-go/jitney/examples/orderflow/analytics"
	"github.com/jitney-go/jitney/examples/orderflow/audit"
	"github.com/jitney-go/jitney/examples/orderflow/intake"
	"github.com/jitney-go/jitney/examples/orderflow/inventory"
	"github.com/jitney-go/jitney/examples/orderflow/loyalty"
	"github.com/jitney-go/jitney/examples/orderflow/notification"
	"github.com/jitney-go/jitney/examples/orderflow/orders"
	"github.com/jitney-go/jitney/examples/orderflow/payments"
	"github.com/jitney-go/jitney/examples/orderflow/shipping"
)

// Every article begins with so many in stock, and is to be ordered again below the level.
const (
	beginStock = 400
	lowStock   = 100
)

// flow is the shop: a bus, and the modules on it.
type flow struct {
	config
	bus     *jitney.Bus
	letters *jitney.MemoryDeadLetters
	busy    busy

	inventory    *inventory.Module
	payments     *payments.Module
	shipping     *shipping.Module
	notification *notification.Module
	loyalty      *loyalty.Module
	analytics    *analytics.Module
	audit        *audit.Module

	begin     time.Time
	took      time.Duration
	sentTwice int
	dead      []jitney.DeadLetter // before they were redelivered
	parked    int                 // behind them
	redrive   deadletter.Report

	watching sync.WaitGroup
	unwatch  func()
}

// newFlow wires the modules. This is the one place that knows them all.
func newFlow(c config, stderr io.Writer) *flow {
	f := &flow{config: c, letters: &jitney.MemoryDeadLetters{}, unwatch: func() {}}
	quiet := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelError + 1}))
	b := jitney.New(
		jitney.WithSource("orderflow"),
		jitney.WithLogger(quiet), // the report shows the dead letters
		jitney.WithDeadLetters(f.letters),
		jitney.WithMiddleware(f.busy.middleware),
		jitney.WithRetry(jitney.Retry{Attempts: 8, Base: 2 * time.Millisecond, Max: 50 * time.Millisecond}),
	)
	f.bus = b

	taken := orders.New(b)
	f.inventory = inventory.New(b, beginStock, lowStock)
	f.payments = payments.New(b, payments.NewFlakyGateway(c.seed))
	f.shipping = shipping.New(b)
	f.notification = &notification.Module{}
	f.loyalty = loyalty.New()
	f.analytics = analytics.New()
	f.audit = audit.New()

	jitney.Subscribe(b, "orders", taken.Take,
		jitney.WithIdempotency(&jitney.MemoryInbox{Limit: 1_000_000}),
		jitney.WithIdempotencyKey(func(e jitney.Event) string { return e.(intake.Received).Invoice }))
	jitney.Subscribe(b, "inventory", f.inventory.Move)
	jitney.Subscribe(b, "payments", f.payments.Settle, f.careful()...)
	jitney.Subscribe(b, "shipping", f.shipping.Ship, jitney.WithWorkers(4))
	jitney.Subscribe(b, "notification", f.notification.Notify, jitney.WithWorkers(4))
	jitney.Subscribe(b, "loyalty", f.loyalty.Reward)
	jitney.Subscribe(b, "analytics", f.analytics.Count)
	jitney.Subscribe(b, "audit", f.audit.Hear)
	return f
}

// careful is how payments are handled: while the gateway is down they wait; no country waits for another's
// flood; and, if that is wanted, what a customer did after a payment that cannot be settled waits for it.
func (f *flow) careful() []jitney.SubscribeOption {
	opts := []jitney.SubscribeOption{
		jitney.WithWorkers(8),
		jitney.WithTimeout(5 * time.Second),
		jitney.WithBreaker(jitney.Breaker{
			Failures: 5, Pause: 2 * time.Millisecond, MaxPause: 20 * time.Millisecond,
			Counts: func(err error) bool { return errors.Is(err, payments.ErrUnavailable) },
		}),
		jitney.WithFairShare(jitney.FairShare{
			By: func(env *jitney.Envelope) string { return env.Event.(orders.Event).From() },
		}),
	}
	if f.strict {
		opts = append(opts, jitney.WithParking(10_000))
	}
	return opts
}

var errStopped = errors.New("stopped before all orders had come in")

// process lets the invoices in, waits until all is settled, and then deals with what could not be.
func (f *flow) process(ctx context.Context, in input) error {
	f.begin = time.Now()
	defer func() { f.took = time.Since(f.begin) }()
	err := f.send(ctx, in)
	if err == nil {
		err = f.bus.Flush(ctx)
	}
	if err == nil {
		err = f.redeliver(ctx)
	}
	if ctx.Err() != nil {
		err = errStopped
	}
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	if unhandled := f.bus.Shutdown(deadline); unhandled != nil {
		return unhandled
	}
	return err
}

// send publishes the invoices, some of them twice. A full queue makes it wait.
func (f *flow) send(ctx context.Context, in input) error {
	again := twice(len(in.invoices), f.duplicates, f.seed)
	for i, r := range in.invoices {
		if err := f.bus.Publish(ctx, r); err != nil {
			return err
		}
		if again[i] {
			if err := f.bus.Publish(ctx, r); err != nil {
				return err
			}
			f.sentTwice++
		}
	}
	return nil
}

// redeliver repairs the rule that made dead letters, and sends them back to where they died: first one of
// them, then the others.
func (f *flow) redeliver(ctx context.Context) (err error) {
	f.dead, err = f.letters.List(ctx, jitney.DeadLetterFilter{})
	if err != nil {
		return err
	}
	f.parked = f.bus.Stats().Parked
	f.payments.Repair()
	f.redrive, err = deadletter.Redrive{Bus: f.bus, Store: f.letters, Canary: 1, MaxFailures: 0.1}.Run(ctx)
	if err != nil {
		return err
	}
	return f.bus.Flush(ctx)
}
