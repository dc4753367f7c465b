package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal/sqlite"
	"github.com/jitney-go/jitney/wire"
)

// moved is an event of about 300 bytes as a row.
type moved struct {
	Order string
	Cents int64
	Note  string
}

func (moved) EventType() string { return "test.moved" }

func types() *wire.Types {
	ts := wire.NewTypes()
	wire.Register[moved](ts)
	return ts
}

func event() moved { return moved{Order: "o-1", Cents: 4200, Note: strings.Repeat("n", 60)} }

func envelope() *jitney.Envelope {
	return &jitney.Envelope{ID: uuid.Must(uuid.NewV7()), Type: "test.moved", Version: 1, Time: time.Now(), Event: event()}
}

func open(tb testing.TB) *sqlite.Journal {
	j, err := sqlite.Open(context.Background(), filepath.Join(tb.TempDir(), "journal.db"), types())
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, j.Close(context.Background())) })
	return j
}

// BenchmarkAppend is publishers that each wait for their event to be stored.
func BenchmarkAppend(b *testing.B) {
	for _, publishers := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(publishers), func(b *testing.B) {
			j := open(b)
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ResetTimer()
			var wg sync.WaitGroup
			for range publishers {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						if err := j.Append(context.Background(), envelope()); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkRawFile is what the disk can do: a record of 300 bytes and an fsync.
func BenchmarkRawFile(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "raw"))
	require.NoError(b, err)
	defer f.Close()
	record := make([]byte, 300)
	for b.Loop() {
		_, err := f.Write(record)
		require.NoError(b, err)
		require.NoError(b, f.Sync())
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkCatchUp is a subscriber that reads what has been there before it.
func BenchmarkCatchUp(b *testing.B) {
	path := filepath.Join(b.TempDir(), "journal.db")
	j, err := sqlite.Open(context.Background(), path, types())
	require.NoError(b, err)
	const n = 100_000
	for range n / 1000 {
		var envs []*jitney.Envelope
		for range 1000 {
			envs = append(envs, envelope())
		}
		require.NoError(b, j.Append(context.Background(), envs...))
	}
	require.NoError(b, j.Close(context.Background()))
	b.ResetTimer()
	read := 0
	for b.Loop() {
		j, err := sqlite.Open(context.Background(), path, types())
		require.NoError(b, err)
		bus := jitney.New(jitney.WithJournal(j))
		done := make(chan struct{})
		handled := 0
		jitney.Subscribe(bus, "s"+uuid.NewString(), func(context.Context, moved) error {
			if handled++; handled == n {
				close(done)
			}
			return nil
		}, jitney.WithStart(jitney.FromBeginning()))
		<-done
		read += n
		require.NoError(b, bus.Shutdown(context.Background()))
		require.NoError(b, j.Close(context.Background()))
	}
	b.ReportMetric(float64(read)/b.Elapsed().Seconds(), "events/s")
}
