package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/examples/orderflow/shop"
	"github.com/jitney-go/jitney/kafkajournal"
	"github.com/jitney-go/jitney/natsjournal"
	"github.com/jitney-go/jitney/natsjournal/embedded"
)

// engine is a journal, and what a run asks of it besides.
type engine struct {
	jitney.Journal
	// done reports whether all subscribers have settled everything, in whatever process.
	done  func(ctx context.Context) (bool, error)
	close func(ctx context.Context) error
}

// The stream and the topic that have the shop's events.
const (
	stream = "ORDERFLOW"
	topic  = "orderflow"
)

// quiet is for engines: what goes wrong is in the report, or an error.
var quiet = slog.New(slog.DiscardHandler)

// openEngine opens an engine that is no database, and says on stderr what its settings are worth.
func openEngine(ctx context.Context, name, folder string, stderr io.Writer) (*engine, error) {
	if brokers, is := strings.CutPrefix(name, "kafka://"); is {
		return openKafka(ctx, strings.Split(brokers, ","), stderr)
	}
	if strings.HasPrefix(name, "nats://") {
		return openNATS(ctx, name, stderr)
	}
	return openEmbedded(ctx, folder)
}

// openEmbedded runs a NATS server in this process. It syncs what it acknowledges. No other process has the folder, so
// the lease only has to outlast a pause of this one.
func openEmbedded(ctx context.Context, folder string) (*engine, error) {
	j, err := embedded.Open(ctx, folder, shop.Types(),
		natsjournal.WithName(stream), natsjournal.WithLease(500*time.Millisecond), natsjournal.WithLogger(quiet))
	if err != nil {
		return nil, err
	}
	return &engine{j, allDone(j.Places), j.Close}, nil
}

// openNATS connects to a server. One alone syncs every two minutes, unless it is told otherwise.
func openNATS(ctx context.Context, url string, stderr io.Writer) (*engine, error) {
	open := func(more ...natsjournal.Option) (*natsjournal.Journal, error) {
		return natsjournal.Connect(ctx, url, shop.Types(), append(more,
			natsjournal.WithName(stream), natsjournal.WithLease(2*time.Second), natsjournal.WithLogger(quiet))...)
	}
	j, err := open()
	if errors.Is(err, jitney.ErrNotDurable) {
		warn(stderr, "the death of any process, the server's too, loses nothing; a power failure of the server may lose what it has not synced", err)
		j, err = open(natsjournal.AllowNotDurable())
	}
	if err != nil {
		return nil, err
	}
	return &engine{j, allDone(j.Places), j.Close}, nil
}

// openKafka connects to brokers.
func openKafka(ctx context.Context, brokers []string, stderr io.Writer) (*engine, error) {
	open := func(more ...kafkajournal.Option) (*kafkajournal.Journal, error) {
		return kafkajournal.Open(ctx, brokers, shop.Types(), append(more,
			kafkajournal.WithTopic(topic), kafkajournal.WithLease(6*time.Second), kafkajournal.WithLogger(quiet))...)
	}
	j, err := open()
	if errors.Is(err, jitney.ErrNotDurable) || errors.Is(err, kerr.InvalidReplicationFactor) {
		warn(stderr, "what a broker has not synced is lost with it", err)
		j, err = open(kafkajournal.AllowNotDurable(), kafkajournal.WithReplication(1))
	}
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return nil, errors.Join(err, j.Close(ctx))
	}
	return &engine{j, noLag(kadm.NewClient(client)), func(ctx context.Context) error {
		client.Close()
		return j.Close(ctx)
	}}, nil
}

func warn(stderr io.Writer, what string, err error) {
	fmt.Fprintf(stderr, "orderflow: not durable against everything: %s (%v)\n", what, err)
}

// allDone asks each place of a journal.
func allDone[P interface{ Done() bool }](places func(context.Context) ([]P, error)) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		list, err := places(ctx)
		for _, p := range list {
			if !p.Done() {
				return false, err
			}
		}
		return err == nil, err
	}
}

// noLag asks Kafka how far each subscriber's group is. What waits for another attempt for a second or more does not
// count there; nothing in the shop does.
func noLag(admin *kadm.Client) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		groups, err := admin.ListGroups(ctx)
		if err != nil {
			return false, err
		}
		var ours []string
		for _, name := range groups.Groups() {
			if strings.HasPrefix(name, topic+".") {
				ours = append(ours, name)
			}
		}
		lags, err := admin.Lag(ctx, ours...)
		if err == nil {
			err = lags.Error()
		}
		for _, lag := range lags {
			if lag.Lag.Total() > 0 {
				return false, err
			}
		}
		return err == nil, err
	}
}
