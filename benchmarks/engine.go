package benchmarks

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"github.com/jitney-go/jitney"
)

// Engine is a server that keeps events for several processes, and how to use it with a bus and without.
type Engine struct {
	Name  string
	begin func(ctx context.Context, dir string) (Place, error)
}

// Engines returns all engines that can be measured.
func Engines() []Engine {
	return []Engine{{"NATS, embedded", embeddedNATS}, {"NATS, server", realNATS}, {"Kafka, kfake", fakeKafka}}
}

// Begin returns an empty place on the engine, which may keep files in the folder dir. An error says that the engine is not
// there.
func (e Engine) Begin(ctx context.Context, dir string) (Place, error) { return e.begin(ctx, dir) }

// Place is a stream or a topic of its own, made by a journal, so that both sides have the same settings.
type Place interface {
	Version() string
	// Journal opens the journal.
	Journal(ctx context.Context) (Journal, error)
	// Bare connects the client library alone. shared says that many publishers are to use it at once.
	Bare(ctx context.Context, shared bool) (Client, error)
	// Close removes it.
	Close() error
}

// Journal is one that can be closed.
type Journal interface {
	jitney.Journal
	Close(ctx context.Context) error
}

// Client publishes events and consumes them, as a program does that uses it.
type Client interface {
	// Publish returns when e is acknowledged. Several may call it.
	Publish(ctx context.Context, e Stored) error
	// Consume calls handle with each event from the beginning on, one at a time, and has the server know which have been
	// handled, until stop is called.
	Consume(ctx context.Context, handle func(Stored)) (stop func() error, err error)
	Close(ctx context.Context) error
}

// NewCarried returns publisher's event number seq, whose payload is some 300 bytes of JSON.
func NewCarried(publisher int, seq int64) Stored {
	return Stored{NewOrder(publisher, seq), strings.Repeat("n", 195)}
}

// busClient is a bus on a journal.
type busClient struct {
	journal Journal
	bus     *jitney.Bus
}

// NewBus is the client that is compared with the bare one.
func NewBus(ctx context.Context, p Place) (Client, error) {
	j, err := p.Journal(ctx)
	if err != nil {
		return nil, err
	}
	return &busClient{j, jitney.New(jitney.WithJournal(j), jitney.WithLogger(slog.New(slog.DiscardHandler)))}, nil
}

func (c *busClient) Publish(ctx context.Context, e Stored) error { return c.bus.Publish(ctx, e) }

func (c *busClient) Consume(_ context.Context, handle func(Stored)) (func() error, error) {
	jitney.Subscribe(c.bus, "consumer", func(_ context.Context, e Stored) error {
		handle(e)
		return nil
	}, jitney.WithStart(jitney.FromBeginning()))
	return func() error { return nil }, nil
}

func (c *busClient) Close(ctx context.Context) error {
	return errors.Join(c.bus.Shutdown(ctx), c.journal.Close(ctx))
}
