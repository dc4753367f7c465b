package kafkajournal_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/kafkajournal"
)

// What one event costs, and one that is in a batch, on brokers in this process, which write nothing to a disk.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 2, 10, 100} {
		b.Run(fmt.Sprintf("batch=%d", n), func(b *testing.B) {
			cluster, err := kfake.NewCluster(kfake.NumBrokers(3))
			require.NoError(b, err)
			defer cluster.Close()
			p, err := begin(b.Context(), cluster.ListenAddrs(), types(), kafkajournal.WithTopic(topic()))
			require.NoError(b, err)
			batch := make([]*jitney.Envelope, n)
			for b.Loop() {
				for i := range batch {
					batch[i] = envelope(counted{fmt.Sprint(i), i})
				}
				require.NoError(b, p.Append(b.Context(), batch...))
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/event")
			require.NoError(b, p.Close(b.Context()))
		})
	}
}
