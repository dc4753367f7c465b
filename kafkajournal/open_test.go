package kafkajournal_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

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
