package natsjournal_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/natsjournal/internal/natstest"
)

var kinds = []struct {
	name  string
	begin func(t testing.TB) *natstest.Place
}{{"Embedded", natstest.Embedded}, {"Server", natstest.Real}}

// BenchmarkAppend is 64 publishers, of one event each time.
func BenchmarkAppend(b *testing.B) {
	for _, kind := range kinds {
		b.Run(kind.name, func(b *testing.B) {
			j := open(b, kind.begin(b))
			publishers(b, func(n int) error { return j.Append(b.Context(), sealed(number(n))) })
		})
	}
}

// BenchmarkClient is the same of the client library alone: messages of the same size, each waited for.
func BenchmarkClient(b *testing.B) {
	for _, kind := range kinds {
		b.Run(kind.name, func(b *testing.B) {
			p := kind.begin(b)
			j := open(b, p)
			js, err := jetstream.New(j.Conn)
			require.NoError(b, err)
			publishers(b, func(n int) error {
				env := sealed(number(n))
				_, err := js.PublishMsg(b.Context(), &nats.Msg{Subject: p.Name + ".event.natstest.counted", Header: nats.Header{
					"ce-specversion": {"1.0"}, "ce-id": {env.ID.String()}, "ce-source": {"/"}, "ce-type": {"natstest.counted"},
					"ce-time": {"2026-11-21T00:00:00.123456789Z"}, "ce-datacontenttype": {"application/json"}, "content-type": {"application/json"},
					"Nats-Msg-Id": {env.ID.String()},
				}, Data: []byte(`{"Key":"k","N":1}`)})
				return err
			})
		})
	}
}

func publishers(b *testing.B, publish func(n int) error) {
	var all sync.WaitGroup
	var n atomic.Int64
	b.ResetTimer()
	for range 64 {
		all.Go(func() {
			for i := n.Add(1); i <= int64(b.N); i = n.Add(1) {
				if err := publish(int(i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkNext is one subscriber that catches up, and settles what it is given.
func BenchmarkNext(b *testing.B) {
	for _, kind := range kinds {
		b.Run(kind.name, func(b *testing.B) {
			p := kind.begin(b)
			j := open(b, p)
			publishers(b, func(n int) error { return j.Append(b.Context(), sealed(number(n))) })
			c, err := j.Open(b.Context(), jitney.Durable{Name: "s", From: jitney.FromBeginning(), Window: 1024})
			require.NoError(b, err)
			b.ResetTimer()
			for read := 0; read < b.N; {
				entries, _, err := c.Next(b.Context(), 256)
				require.NoError(b, err)
				for _, e := range entries {
					c.Settle(e.Position, jitney.Settled)
				}
				read += len(entries)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			require.NoError(b, c.Close(b.Context()))
		})
	}
}
