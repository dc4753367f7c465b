package kafkajournal_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/kafkajournal"
)

func TestSettingsThatMayLoseEventsAreRefusedByName(t *testing.T) {
	cluster := fake(t)
	for setting, opts := range map[string][]kafkajournal.Option{
		"min.insync.replicas 1":               {},
		"unclean.leader.election.enable true": {},
		"cleanup.policy compact":              {},
		"retention.ms 3600000":                {kafkajournal.WithRetention(2 * time.Hour)},
		"retention.bytes 1000000":             {},
	} {
		t.Run(setting, func(t *testing.T) {
			name := topic()
			configs := map[string]string{"min.insync.replicas": "2", "retention.ms": "-1"}
			key, value, _ := strings.Cut(setting, " ")
			configs[key] = value
			require.NoError(t, cluster.CreateTopic(name, 1, configs))
			opts := append(opts, kafkajournal.WithTopic(name))
			_, err := begin(t.Context(), cluster.ListenAddrs(), types(), opts...)
			require.ErrorIs(t, err, jitney.ErrNotDurable)
			require.ErrorContains(t, err, name+" has "+setting)
			p, err := begin(t.Context(), cluster.ListenAddrs(), types(), append(opts, kafkajournal.AllowNotDurable())...)
			require.NoError(t, err)
			require.NoError(t, p.Close(t.Context()))
		})
	}
}

func TestOneBrokerIsNotDurable(t *testing.T) {
	brokers := fake(t, kfake.NumBrokers(1)).ListenAddrs()
	_, err := begin(t.Context(), brokers, types(), kafkajournal.WithTopic(topic()))
	require.ErrorContains(t, err, "INVALID_REPLICATION_FACTOR")
	_, err = begin(t.Context(), brokers, types(), kafkajournal.WithTopic(topic()), kafkajournal.WithReplication(1))
	require.ErrorIs(t, err, jitney.ErrNotDurable)
	require.ErrorContains(t, err, "replication factor 1")
}

func TestATopicIsMadeToKeepEventsAsLongAsAskedFor(t *testing.T) {
	cluster := fake(t)
	for _, retention := range []time.Duration{0, 48 * time.Hour} {
		p, err := begin(t.Context(), cluster.ListenAddrs(), types(), kafkajournal.WithTopic(topic()), kafkajournal.WithRetention(retention))
		require.NoError(t, err)
		require.NoError(t, p.Close(t.Context()))
	}
}

func TestAClosedJournalTakesNothing(t *testing.T) {
	p, _, _ := opened(t, fake(t).ListenAddrs())
	require.NoError(t, p.Close(t.Context()))
	require.ErrorIs(t, p.Append(t.Context(), envelope(counted{"a", 1})), kafkajournal.ErrClosed)
	_, err := p.Open(t.Context(), jitney.Durable{Name: "other"})
	require.ErrorIs(t, err, kafkajournal.ErrClosed)
	require.NoError(t, p.Close(t.Context()), "again")
}

// kgo waits for brokers that do not answer, whatever its context says, if they may have a record.
func TestNothingWaitsLongerThanItsContextForBrokersThatDoNotAnswer(t *testing.T) {
	cluster := fake(t)
	p, c, _ := opened(t, cluster.ListenAddrs())
	require.NoError(t, p.Append(t.Context(), envelope(counted{"a", 1})))
	c.Settle(next(t, c, 1)[0].Position, jitney.Settled)
	forever := make(chan struct{})
	t.Cleanup(func() { close(forever) })
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		cluster.SleepControl(func() { <-forever })
		return nil, nil, false
	})
	for what, call := range map[string]func(context.Context) error{
		"an event": func(ctx context.Context) error { return p.Append(ctx, envelope(counted{"a", 2})) },
		"several events": func(ctx context.Context) error {
			return p.Append(ctx, envelope(counted{"a", 3}), envelope(counted{"b", 4}))
		},
		"a pause": func(ctx context.Context) error { return c.Hold(ctx, jitney.Held{Paused: true}) },
	} {
		require.ErrorIs(t, within(t, what, call), context.DeadlineExceeded, what)
	}
	require.Error(t, within(t, "the end", p.Close))
}

// within returns what f does with a context that has ended soon.
func within(t *testing.T, what string, f func(context.Context) error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		t.Fatalf("%s is waited for though its context has ended", what)
		return nil
	}
}

func TestItSaysAtTheStartWhatKafkaCannotDo(t *testing.T) {
	p, _, _ := opened(t, fake(t).ListenAddrs())
	require.NoError(t, jitney.Require(p, jitney.CanBatch, jitney.CanReplay))
	for _, c := range []jitney.Capability{jitney.CanOrderAll, jitney.CanSchedule, jitney.CanDeduplicate, jitney.CanTransact} {
		require.ErrorIs(t, jitney.Require(p, c), errors.ErrUnsupported, c)
	}
}
