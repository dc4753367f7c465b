package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/natsjournal"
	"github.com/jitney-go/jitney/wire"
)

// An order is placed, then charged, then shipped.
type (
	placed  struct{ Order, Cents int }
	charged struct{ Order, Cents int }
)

func (placed) EventType() string       { return "orders.placed" }
func (p placed) EventKey() string      { return strconv.Itoa(p.Order) }
func (charged) EventType() string      { return "billing.charged" }
func (c charged) EventKey() string     { return strconv.Itoa(c.Order) }
func order(n int) placed               { return placed{n, 100 + n*37%9900} }
func effect(role string, n int) string { return fmt.Sprintf("%s.%d", role, n) }

// The roles, and what their effects and the publisher's progress are kept in.
const (
	publisher = "publisher"
	billing   = "billing"
	shipping  = "shipping"
	books     = "FLEET_BOOKS"
	progress  = "published"
)

func options() []natsjournal.Option {
	return []natsjournal.Option{
		natsjournal.WithServerSync(), // the embedded server syncs
		natsjournal.WithLease(time.Second), natsjournal.WithLogger(slog.New(slog.DiscardHandler)),
	}
}

func types() *wire.Types {
	ts := wire.NewTypes()
	wire.Register[placed](ts)
	wire.Register[charged](ts)
	return ts
}

// worker is a process that may be killed at any moment.
type worker struct {
	config
	bus   *jitney.Bus
	books jetstream.KeyValue
	out   io.Writer // a line for each event handled
}

func (c config) work(ctx context.Context, out io.Writer) (err error) {
	nc, err := nats.Connect(c.url, natsjournal.ConnOptions()...)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	w := &worker{config: c, out: out}
	if w.books, err = js.KeyValue(ctx, books); err != nil {
		return err
	}
	j, err := natsjournal.Open(ctx, nc, types(), options()...)
	if err != nil {
		return err
	}
	w.bus = jitney.New(jitney.WithJournal(j), jitney.WithLogger(slog.New(slog.DiscardHandler)),
		jitney.WithRetry(jitney.Retry{Attempts: 100, Base: 10 * time.Millisecond, Max: time.Second}))
	begin := jitney.WithStart(jitney.FromBeginning())
	switch c.role {
	case billing:
		jitney.Subscribe(w.bus, billing, w.charge, begin)
	case shipping:
		jitney.Subscribe(w.bus, shipping, w.ship, begin)
	default:
		err = w.publish(ctx)
	}
	if err == nil && c.role != publisher {
		<-ctx.Done()
	}
	over, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	return errors.Join(err, w.bus.Shutdown(over), j.Close(over))
}

// publish publishes the orders that no publisher has noted as published. Some are published again after a kill, under
// another ID: see book.
func (w *worker) publish(ctx context.Context) error {
	n := 0
	e, err := w.books.Get(ctx, progress)
	if err == nil {
		n, err = strconv.Atoi(string(e.Value()))
	}
	if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
		return err
	}
	for ; n < w.orders; n++ {
		if err := w.bus.Publish(ctx, order(n)); err != nil {
			return err
		}
		if _, err := w.books.PutString(ctx, progress, strconv.Itoa(n+1)); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) charge(ctx context.Context, p placed) error {
	if err := w.bus.Publish(ctx, charged(p)); err != nil {
		return err
	}
	return w.book(ctx, p.Order, p.Cents)
}

func (w *worker) ship(ctx context.Context, c charged) error { return w.book(ctx, c.Order, c.Cents) }

// book notes an effect: a key for each order and module. The processes have no database in common, so there is no
// transaction for effect, mark and event; instead it does no harm to repeat any of them. A key that is there already
// is the same effect, and an event that is published again leads to the same keys. The sums are made at the end.
func (w *worker) book(ctx context.Context, n, cents int) error {
	line := "handled"
	_, err := w.books.Create(ctx, effect(w.role, n), []byte(strconv.Itoa(cents)))
	if errors.Is(err, jetstream.ErrKeyExists) {
		line, err = "again", nil
	}
	if err == nil {
		fmt.Fprintln(w.out, line)
	}
	return err
}
