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

// What a system loses, and what it delivers out of order, is found.
func TestLossAndDisorderAreFound(t *testing.T) {
	defer func(d time.Duration) { patience = d }(patience)
	patience = 20 * time.Millisecond
	bad := System{Name: "bad", Kind: Sync, Open: func(s Setup) (*Bus, error) {
		handle := s.Tally(0, 0).Handle
		var late []Order
		return &Bus{
			Publish: func(_, _ int, o Order) error {
				switch _, seq := o.Origin(); seq {
				case 10, 20, 30: // lost
				case 40:
					late = append(late, o)
				default:
					handle(o)
					for _, o := range late {
						handle(o)
					}
					late = nil
				}
				return nil
			},
			Close: func() {},
		}, nil
	}}
	r, err := newRun(bad, Scenarios[0], queueSize)
	require.NoError(t, err)
	res, _ := r.measure(100)
	assert.EqualValues(t, 3, res.Lost)
	assert.EqualValues(t, 1, res.Reordered, "40 comes behind 41")
}
