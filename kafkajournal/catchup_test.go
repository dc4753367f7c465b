package kafkajournal_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/kafkajournal"
)

// A fetch that waits for other partitions' events has nothing of one that was left out when it began. Here it waits for
// an hour. The first one may begin when the place of one partition is known, so each has an event.
func TestCatchingUpWaitsForNoFetchThatHasNothing(t *testing.T) {
	const batches, each, partitions = 12, 500, 6
	p, _, name := opened(t, fake(t).ListenAddrs(), kafkajournal.WithPartitions(partitions), kafkajournal.WithClient(kgo.FetchMaxWait(time.Hour)))
	others := 0
	for filled := make(map[int32]bool); len(filled) < partitions; others++ {
		key := fmt.Sprint("other", others)
		filled[partitionOf(key, partitions)] = true
		require.NoError(t, p.Append(t.Context(), envelope(counted{key, 0})))
	}
	for b := range batches {
		var envs []*jitney.Envelope
		for n := range each {
			envs = append(envs, envelope(counted{"k", b*each + n}))
		}
		require.NoError(t, p.Append(t.Context(), envs...))
	}
	c, err := p.Open(t.Context(), jitney.Durable{Name: name, From: jitney.FromBeginning(), Window: 256})
	require.NoError(t, err)
	n := 0
	for _, e := range next(t, c, others+batches*each) {
		if got := e.Envelope.Event.(counted); got.Key == "k" {
			require.Equal(t, counted{"k", n}, got)
			n++
		}
		c.Settle(e.Position, jitney.Settled)
	}
	require.NoError(t, c.Close(t.Context()))
}

// partitionOf is where Kafka's clients send a key.
func partitionOf(key string, partitions int) int32 {
	return int32(kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: []byte(key)}, partitions))
}
