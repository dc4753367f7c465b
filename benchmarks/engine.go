package benchmarks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/natsjournal"
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

// End returns how many events p has.
func End(ctx context.Context, p Place) (end int64, err error) {
	j, err := p.Journal(ctx)
	if err != nil {
		return 0, err
	}
	end, err = j.End(ctx)
	return end, errors.Join(err, j.Close(ctx))
}

// FillPlace stores n events, together where the engine can.
func FillPlace(ctx context.Context, p Place, n int64) (err error) {
	j, err := p.Journal(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close(ctx)) }()
	if err = fillTogether(ctx, j, n); errors.Is(err, natsjournal.ErrNoBatches) {
		err = fillSingly(ctx, j, n)
	}
	return err
}

func fillTogether(ctx context.Context, j Journal, n int64) error {
	const most = 500
	for first := int64(0); first < n; first += most {
		var envs []*jitney.Envelope
		for seq := first; seq < min(first+most, n); seq++ {
			envs = append(envs, sealed(NewCarried(0, seq)))
		}
		if err := j.Append(ctx, envs...); err != nil {
			return err
		}
	}
	return nil
}

func fillSingly(ctx context.Context, j Journal, n int64) error {
	var all sync.WaitGroup
	errs := make([]error, witnessed)
	for publisher := range witnessed {
		all.Go(func() {
			for seq := range (n + int64(witnessed-1-publisher)) / witnessed {
				if errs[publisher] = j.Append(ctx, sealed(NewCarried(publisher, seq))); errs[publisher] != nil {
					return
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func sealed(e Stored) *jitney.Envelope {
	return &jitney.Envelope{ID: uuid.Must(uuid.NewV7()), Type: e.EventType(), Version: 1, Time: time.Now(), Event: e}
}

// witnessed is how many publishers there may be.
const witnessed = 64

// Witness counts what a consumer handles: each event once, each publisher's in their order.
type Witness struct {
	mu      sync.Mutex
	next    [witnessed]int64
	handled int64
	wrong   int64
	want    int64 // -1: not known yet
	done    chan struct{}
}

// NewWitness returns one that waits for so many events; for -1, until Await says how many.
func NewWitness(want int64) *Witness { return &Witness{want: want, done: make(chan struct{})} }

// Handle is the handler.
func (w *Witness) Handle(e Stored) {
	publisher, seq := e.Origin()
	w.mu.Lock()
	defer w.mu.Unlock()
	if seq != w.next[publisher] {
		w.wrong++
	}
	w.next[publisher] = seq + 1
	if w.handled++; w.handled == w.want {
		close(w.done)
	}
}

// Await waits until n events have been handled.
func (w *Witness) Await(n int64) error {
	w.mu.Lock()
	if w.want != n {
		if w.want = n; w.handled == n {
			close(w.done)
		}
	}
	w.mu.Unlock()
	var err error
	select {
	case <-w.done:
	case <-time.After(2 * time.Minute):
		err = errors.New("not all events have come within two minutes")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.handled != n || w.wrong > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %d events handled, %d out of order or again", w.handled, n, w.wrong))
	}
	return err
}

// closers closes what was opened, the last first.
type closers []io.Closer

func (c closers) Close() (err error) {
	for i := len(c) - 1; i >= 0; i-- {
		err = errors.Join(err, c[i].Close())
	}
	return err
}
