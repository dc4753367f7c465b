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
	"github.com/jitney-go/jitney/examples/orderflow/shop"
	"github.com/jitney-go/jitney/flowmap"
	"github.com/jitney-go/jitney/why"
)

// flow is a run of orders through the shop.
type flow struct {
	config
	*shop.Shop
	store *store
	busy  busy
	why   *why.Recorder     // of the invoice that is asked for
	ways  *flowmap.Recorder // nil unless the map is asked for

	begin     time.Time
	took      time.Duration
	sentTwice int
	dead      []jitney.DeadLetter // before they were redelivered
	parked    int                 // behind them
	redrive   deadletter.Report

	watching sync.WaitGroup
	unwatch  func()
}

// newFlow opens the shop.
func newFlow(c config, s *store, stderr io.Writer) *flow {
	f := &flow{config: c, store: s, unwatch: func() {}}
	quiet := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelError + 1}))
	set := shop.Config{Seed: c.seed, Strict: c.strict}
	f.Shop = shop.New(set, append(append(s.equip(&set), f.record()...),
		jitney.WithLogger(quiet), // the report shows the dead letters
		jitney.WithMiddleware(f.busy.middleware))...)
	return f
}

var errStopped = errors.New("stopped before all orders had come in")

// process lets the invoices in, waits until all is settled, and then deals with what could not be.
func (f *flow) process(ctx context.Context, in input) error {
	f.begin = time.Now()
	defer func() { f.took = time.Since(f.begin) }()
	err := f.send(ctx, in)
	if err == nil {
		err = f.flush(ctx)
	}
	if err == nil {
		err = f.redeliver(ctx)
	}
	if ctx.Err() != nil {
		err = errStopped
	}
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	if unhandled := f.Bus.Shutdown(deadline); unhandled != nil {
		return unhandled
	}
	return err
}

// send publishes the invoices, some of them twice, and each as the beginning of a flow that goes by its number. A full
// queue makes it wait.
func (f *flow) send(ctx context.Context, in input) error {
	again := twice(len(in.invoices), f.duplicates, f.seed)
	for i, r := range in.invoices {
		ctx := jitney.ContextWithCorrelation(ctx, r.Invoice)
		if err := f.Publish(ctx, r); err != nil {
			return err
		}
		if again[i] {
			if err := f.Publish(ctx, r); err != nil {
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
	f.dead, err = f.Letters.List(ctx, jitney.DeadLetterFilter{})
	if err != nil {
		return err
	}
	f.parked = f.Bus.Stats().Parked
	f.Payments.Repair()
	f.redrive, err = deadletter.Redrive{Bus: f.Bus, Store: f.Letters, Canary: 1, MaxFailures: 0.1}.Run(ctx)
	if err != nil {
		return err
	}
	return f.flush(ctx)
}

// flush waits until all is settled, here and in the journal.
func (f *flow) flush(ctx context.Context) error {
	if err := f.Bus.Flush(ctx); err != nil {
		return err
	}
	return f.store.settled(ctx)
}
