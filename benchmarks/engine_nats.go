package benchmarks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jitney-go/jitney/natsjournal"
	"github.com/jitney-go/jitney/natsjournal/embedded"
)

// natsPlace is a stream on a NATS server.
type natsPlace struct {
	connect func() (*nats.Conn, error)
	name    string
	version string
	closers
}

func embeddedNATS(ctx context.Context, dir string) (Place, error) {
	s, err := embedded.Start(ctx, dir)
	if err != nil {
		return nil, err
	}
	return newNATSPlace(ctx, func() (*nats.Conn, error) { return s.Connect() }, closer(s.Stop))
}

// realNATS is on the server that JITNEY_NATS names, by default on nats://127.0.0.1:4222.
func realNATS(ctx context.Context, _ string) (Place, error) {
	url := os.Getenv("JITNEY_NATS")
	if url == "" {
		url = nats.DefaultURL
	}
	return newNATSPlace(ctx, func() (*nats.Conn, error) { return nats.Connect(url, natsjournal.ConnOptions()...) })
}

func newNATSPlace(ctx context.Context, connect func() (*nats.Conn, error), c ...io.Closer) (Place, error) {
	p := &natsPlace{connect: connect, name: "BENCH" + uuid.NewString()[:8], closers: c}
	nc, err := connect()
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	p.version = nc.ConnectedServerVersion()
	p.closers = append(p.closers, closer(p.remove))
	_, err = End(ctx, p) // makes the stream
	return p, err
}

func (p *natsPlace) Version() string { return p.version }

func (p *natsPlace) remove() error {
	nc, js, err := p.js()
	if err != nil {
		return err
	}
	defer nc.Close()
	for _, stream := range []string{p.name, "KV_" + p.name + "_places", "KV_" + p.name + "_inbox", "KV_" + p.name + "_letters"} {
		if err := js.DeleteStream(context.Background(), stream); err != nil {
			return fmt.Errorf("remove %s: %w", stream, err)
		}
	}
	return nil
}

func (p *natsPlace) js() (*nats.Conn, jetstream.JetStream, error) {
	nc, err := p.connect()
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(16_384))
	return nc, js, err
}

// natsJournal is one with its connection.
type natsJournal struct {
	*natsjournal.Journal
	nc *nats.Conn
}

func (j natsJournal) Close(ctx context.Context) error {
	defer j.nc.Close()
	return j.Journal.Close(ctx)
}

func (p *natsPlace) Journal(ctx context.Context) (Journal, error) {
	nc, err := p.connect()
	if err != nil {
		return nil, err
	}
	j, err := natsjournal.Open(ctx, nc, storedTypes(), natsjournal.WithName(p.name), natsjournal.WithServerSync(),
		natsjournal.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		nc.Close()
		return nil, err
	}
	return natsJournal{j, nc}, nil
}

// natsClient is nats.go alone.
type natsClient struct {
	p      *natsPlace
	nc     *nats.Conn
	js     jetstream.JetStream
	shared bool
}

func (p *natsPlace) Bare(_ context.Context, shared bool) (Client, error) {
	nc, js, err := p.js()
	return &natsClient{p, nc, js, shared}, err
}

func (c *natsClient) Publish(ctx context.Context, e Stored) error {
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	id := uuid.Must(uuid.NewV7()).String()
	msg := &nats.Msg{Subject: c.p.name + ".event.order.stored", Data: data, Header: nats.Header{
		"ce-specversion": {"1.0"}, "ce-id": {id}, "ce-source": {"/"}, "ce-type": {"order.stored"}, "ce-eventversion": {"1"},
		"ce-time": {time.Now().UTC().Format(time.RFC3339Nano)}, "ce-datacontenttype": {"application/json"},
		"content-type": {"application/json"}, jetstream.MsgIDHeader: {id},
	}}
	if !c.shared {
		_, err = c.js.PublishMsg(ctx, msg)
		return err
	}
	future, err := c.js.PublishMsgAsync(msg)
	if err != nil {
		return err
	}
	select {
	case <-future.Ok():
		return nil
	case err := <-future.Err():
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *natsClient) Consume(ctx context.Context, handle func(Stored)) (stop func() error, err error) {
	consumer, err := c.js.CreateConsumer(ctx, c.p.name, jetstream.ConsumerConfig{
		Durable: "consumer", DeliverPolicy: jetstream.DeliverAllPolicy, AckPolicy: jetstream.AckExplicitPolicy,
	})
	if err != nil {
		return nil, err
	}
	failed := make(chan error, 1)
	consuming, err := consumer.Consume(func(msg jetstream.Msg) {
		var e Stored
		err := json.Unmarshal(msg.Data(), &e)
		if err == nil {
			handle(e)
			err = msg.Ack()
		}
		if err != nil {
			select {
			case failed <- err:
			default:
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return func() error {
		consuming.Drain()
		<-consuming.Closed()
		select {
		case err := <-failed:
			return err
		default:
			return nil
		}
	}, nil
}

func (c *natsClient) Close(context.Context) error {
	defer c.nc.Close()
	return c.nc.Flush()
}

// closers closes what was opened, the last first.
type closers []io.Closer

func (c closers) Close() (err error) {
	for i := len(c) - 1; i >= 0; i-- {
		err = errors.Join(err, c[i].Close())
	}
	return err
}
