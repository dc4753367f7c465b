package bridge_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/bridge"
)

// distant is an engine that takes a millisecond to answer, and stores nothing.
type distant struct {
	jitney.Journal
	n atomic.Int64
}

// Append implements jitney.Journal.
func (d *distant) Append(context.Context, ...*jitney.Envelope) error {
	time.Sleep(time.Millisecond)
	d.n.Add(1)
	return nil
}

// BenchmarkOut is events of a thousand keys on their way to an engine that is a millisecond away.
func BenchmarkOut(b *testing.B) {
	for _, lanes := range []int{0, 8, 64} {
		b.Run(fmt.Sprintf("workers=%d", lanes), func(b *testing.B) {
			shop, engine := newPlace("shop"), &distant{}
			opts := []jitney.SubscribeOption{jitney.WithBuffer(1 << 10)}
			if lanes > 0 {
				opts = append(opts, jitney.WithWorkers(lanes))
			}
			out := bridge.Out[placed](shop.to(engine, "ORDERS"), "out", opts...)
			keys := make([]string, 1000)
			for i := range keys {
				keys[i] = fmt.Sprint(i)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for n := range b.N {
				require.NoError(b, shop.Publish(b.Context(), placed{keys[n%len(keys)], n}))
			}
			require.NoError(b, out.Bus().Flush(b.Context()))
			b.StopTimer()
			require.EqualValues(b, b.N, engine.n.Load())
			require.NoError(b, shop.Shutdown(context.Background()))
		})
	}
}
