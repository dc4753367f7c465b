package jitney_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
)

// benchEvent has the size of a small real event.
type benchEvent struct {
	OrderID, CustomerID string
	Total               int64
	Items               int32
	Region              string
}

func (benchEvent) EventType() string { return "bench.event" }

var benchSample = benchEvent{"order-1", "customer-1", 4200, 3, "eu"}

// tally is a subscriber's counter on a cache line of its own.
type tally struct {
	n int64
	_ [56]byte
}

func benchBus(b *testing.B, subscribers int, opts ...jitney.SubscribeOption) (*jitney.Bus, []tally) {
	bus := jitney.New(jitney.WithLogger(slog.New(slog.DiscardHandler)))
	tallies := make([]tally, subscribers)
	for i := range tallies {
		t := &tallies[i]
		jitney.Subscribe(bus, fmt.Sprint("s", i), func(_ context.Context, e benchEvent) error {
			t.n += int64(e.Items)
			return nil
		}, opts...)
	}
	b.Cleanup(func() { require.NoError(b, bus.Shutdown(context.Background())) })
	return bus, tallies
}

// fanOut publishes b.N events from so many goroutines, and waits until all subscribers have handled all.
func benchFanOut(b *testing.B, publishers int, bus *jitney.Bus, tallies []tally) {
	ctx := context.Background()
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for range b.N/publishers + min(1, max(0, b.N%publishers-p)) {
				if err := bus.Publish(ctx, benchSample); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.NoError(b, bus.Flush(ctx))
	b.StopTimer()
	for i := range tallies {
		require.Equal(b, int64(b.N)*int64(benchSample.Items), tallies[i].n)
	}
}

func BenchmarkFanOut(b *testing.B) {
	for _, c := range []struct{ publishers, subscribers int }{{1, 1}, {1, 10}, {8, 1}} {
		b.Run(fmt.Sprintf("%dto%d", c.publishers, c.subscribers), func(b *testing.B) {
			bus, tallies := benchBus(b, c.subscribers)
			benchFanOut(b, c.publishers, bus, tallies)
		})
	}
}

// BenchmarkChannel is the floor: a buffered channel per subscriber, and nothing else.
func BenchmarkChannel(b *testing.B) {
	for _, n := range []int{1, 10} {
		b.Run(fmt.Sprintf("1to%d", n), func(b *testing.B) {
			tallies := make([]tally, n)
			chans := make([]chan benchEvent, n)
			var wg sync.WaitGroup
			for i := range chans {
				chans[i] = make(chan benchEvent, 1024)
				wg.Go(func() {
					for e := range chans[i] {
						tallies[i].n += int64(e.Items)
					}
				})
			}
			for range b.N {
				for _, c := range chans {
					c <- benchSample
				}
			}
			for _, c := range chans {
				close(c)
			}
			wg.Wait()
		})
	}
}

// BenchmarkKeyed is one publisher whose events go to eight workers by key.
func BenchmarkKeyed(b *testing.B) {
	bus, _ := benchBus(b, 1, jitney.WithWorkers(8))
	ctx := context.Background()
	b.ReportAllocs()
	for range b.N {
		if err := bus.Publish(ctx, benchSample); err != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, bus.Flush(ctx))
}

func BenchmarkSync(b *testing.B) {
	bus, tallies := benchBus(b, 1, jitney.WithSync())
	benchFanOut(b, 1, bus, tallies)
}

func BenchmarkNobodySubscribes(b *testing.B) {
	bus, _ := benchBus(b, 0)
	ctx := context.Background()
	b.ReportAllocs()
	for range b.N {
		if err := bus.Publish(ctx, benchSample); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkConfigured has all that a delivery can be wrapped in, and nothing that fails.
func BenchmarkConfigured(b *testing.B) {
	bus, tallies := benchBus(b, 1,
		jitney.WithRetry(jitney.Retry{}), jitney.WithDeadLetters(&jitney.MemoryDeadLetters{}),
		jitney.WithIdempotency(&jitney.MemoryInbox{}), jitney.WithTimeout(1<<40))
	benchFanOut(b, 1, bus, tallies)
}

// BenchmarkAsk is one asker, and an answerer that has nothing to do.
func BenchmarkAsk(b *testing.B) {
	bus, _ := benchBus(b, 0)
	jitney.Answer(bus, "doubles", doubled)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if n, err := jitney.Ask(ctx, bus, double{N: 1}); n != 2 || err != nil {
			b.Fatal(n, err)
		}
	}
}

// BenchmarkBatch is a handler that costs 100 µs a call, given one event or up to 500.
func BenchmarkBatch(b *testing.B) {
	call := func() {
		for begin := time.Now(); time.Since(begin) < 100*time.Microsecond; {
		}
	}
	run := func(b *testing.B, bus *jitney.Bus) {
		ctx := context.Background()
		b.ReportAllocs()
		for b.Loop() {
			if err := bus.Publish(ctx, benchSample); err != nil {
				b.Fatal(err)
			}
		}
		require.NoError(b, bus.Shutdown(ctx))
	}
	b.Run("single", func(b *testing.B) {
		bus := jitney.New(jitney.WithLogger(slog.New(slog.DiscardHandler)))
		jitney.Subscribe(bus, "s", func(context.Context, benchEvent) error { call(); return nil })
		run(b, bus)
	})
	b.Run("batch", func(b *testing.B) {
		bus := jitney.New(jitney.WithLogger(slog.New(slog.DiscardHandler)))
		jitney.SubscribeBatch(bus, "s", func(context.Context, []benchEvent) error { call(); return nil },
			jitney.WithBatch(500, time.Millisecond))
		run(b, bus)
	})
}
