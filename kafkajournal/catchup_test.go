package kafkajournal_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/kafkajournal"
)

// A fetch that waits for other partitions' events has nothing of one that was left out when it began.
func TestCatchingUpWaitsForNoFetchThatHasNothing(t *testing.T) {
	const batches, each = 12, 500
	p, _, name := opened(t, fake(t).ListenAddrs(), kafkajournal.WithPartitions(6), kafkajournal.WithClient(kgo.FetchMaxWait(time.Hour)))
	for b := range batches {
		var envs []*jitney.Envelope
		for n := range each {
			envs = append(envs, envelope(counted{"k", b*each + n}))
		}
		require.NoError(t, p.Append(t.Context(), envs...))
	}
	c, err := p.Open(t.Context(), jitney.Durable{Name: name, From: jitney.FromBeginning(), Window: 256})
	require.NoError(t, err)
	for n, e := range next(t, c, batches*each) {
		require.Equal(t, counted{"k", n}, e.Envelope.Event)
		c.Settle(e.Position, jitney.Settled)
	}
	require.NoError(t, c.Close(t.Context()))
}
