package benchmarks

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jitney-go/jitney/kafkajournal"
)

// kafkaPlace is a topic of three brokers in this process, which have no disk.
type kafkaPlace struct {
	cluster *kfake.Cluster
}

const kafkaTopic = "bench"

func fakeKafka(ctx context.Context, _ string) (Place, error) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3))
	if err != nil {
		return nil, err
	}
	p := &kafkaPlace{cluster}
	_, err = End(ctx, p) // makes the topic
	return p, err
}

func (p *kafkaPlace) Version() string { return "" }

func (p *kafkaPlace) Close() error {
	p.cluster.Close()
	return nil
}

func (p *kafkaPlace) Journal(ctx context.Context) (Journal, error) {
	return kafkajournal.Open(ctx, p.cluster.ListenAddrs(), storedTypes(), kafkajournal.WithTopic(kafkaTopic),
		kafkajournal.WithLogger(slog.New(slog.DiscardHandler)))
}

// kafkaClient is franz-go alone.
type kafkaClient struct {
	brokers  []string
	producer *kgo.Client
}

// Bare implements Place. The producer has the journal's settings: acks of all, idempotent, no linger.
func (p *kafkaPlace) Bare(context.Context, bool) (Client, error) {
	producer, err := kgo.NewClient(kgo.SeedBrokers(p.cluster.ListenAddrs()...), kgo.DefaultProduceTopic(kafkaTopic),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	return &kafkaClient{p.cluster.ListenAddrs(), producer}, err
}

// Publish stores in the first partition, as the journal does with events that have no key.
func (c *kafkaClient) Publish(ctx context.Context, e Stored) error {
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	header := func(key, value string) kgo.RecordHeader { return kgo.RecordHeader{Key: key, Value: []byte(value)} }
	now := time.Now()
	return c.producer.ProduceSync(ctx, &kgo.Record{Value: data, Timestamp: now, Headers: []kgo.RecordHeader{
		header("ce_specversion", "1.0"), header("ce_id", uuid.Must(uuid.NewV7()).String()), header("ce_source", "/"),
		header("ce_type", "order.stored"), header("ce_eventversion", "1"), header("ce_time", now.UTC().Format(time.RFC3339Nano)),
		header("content-type", "application/json"),
	}}).FirstErr()
}

// Consume commits what has been handled after each poll.
func (c *kafkaClient) Consume(ctx context.Context, handle func(Stored)) (stop func() error, err error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(c.brokers...), kgo.ConsumeTopics(kafkaTopic), kgo.ConsumerGroup("consumer"),
		kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- consume(ctx, client, handle) }()
	return func() error {
		cancel()
		defer client.Close()
		return <-ended
	}, nil
}

func consume(ctx context.Context, client *kgo.Client, handle func(Stored)) (err error) {
	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return err
		}
		err = errors.Join(err, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			var e Stored
			err = errors.Join(err, json.Unmarshal(r.Value, &e))
			handle(e)
		})
		if failed := client.CommitUncommittedOffsets(ctx); ctx.Err() == nil {
			err = errors.Join(err, failed)
		}
	}
}

func (c *kafkaClient) Close(context.Context) error {
	c.producer.Close()
	return nil
}
