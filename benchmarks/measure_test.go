package benchmarks

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestEveryEventIsCounted runs each system through each scenario: what the table says of order holds, and
// nothing is lost at this size.
func TestEveryEventIsCounted(t *testing.T) {
	for _, sys := range Systems() {
		t.Run(sys.Name, func(t *testing.T) {
			for _, s := range Scenarios {
				r, err := newRun(sys, s, queueSize)
				require.NoError(t, err, s.Name)
				const n = 3001
				res, _ := r.measure(n)
				assert.Zero(t, res.Lost, s.Name)
				if sys.Kind != Unordered {
					assert.Zero(t, res.Reordered, s.Name)
				}
				sum := int64(0)
				for i := range r.tallies {
					sum += r.tallies[i].Handled
				}
				assert.EqualValues(t, n*s.Subscribers, sum, s.Name)
				r.bus.Close()
			}
		})
	}
}

func TestOrderSurvivesBytes(t *testing.T) {
	o := NewOrder(3, 12345)
	assert.Equal(t, o, decode(encode(&o)))
	publisher, seq := o.Origin()
	assert.Equal(t, 3, publisher)
	assert.EqualValues(t, 12345, seq)
}

func TestATopicIsAGoType(t *testing.T) {
	require.Len(t, types, MaxTopics)
	for i, typ := range types {
		assert.Equal(t, topicNames[i], typ.event(Order{}).(interface{ EventType() string }).EventType())
	}
}

func TestThroughput(t *testing.T) {
	res, err := Throughput(jitneySystem, Scenarios[0], 20*time.Millisecond)
	require.NoError(t, err)
	t.Log(res)
}
