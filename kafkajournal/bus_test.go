package kafkajournal_test

import (
	"context"
	"errors"
	"hash/crc32"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/kafkajournal"
)

// lines keeps what is logged.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(line)
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func TestABusOnKafkaRetriesBuriesAndGoesOnAfterARestart(t *testing.T) {
	brokers := fake(t).ListenAddrs()
	name := topic()
	var said lines
	var letters jitney.MemoryDeadLetters
	var mu sync.Mutex
	handled := make(map[string][]int)
	failures := make(map[int]int)
	handle := func(_ context.Context, e counted) error {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case e.N == 3 && failures[3] < 2:
			failures[3]++
			return errors.New("out of paper")
		case e.N == 5:
			return jitney.Permanent(errors.New("no such printer"))
		}
		handled[e.Key] = append(handled[e.Key], e.N)
		return nil
	}
	run := func(f func(b *jitney.Bus)) {
		p, err := begin(t.Context(), brokers, types(), kafkajournal.WithTopic(name), kafkajournal.WithLogger(said.logger()))
		require.NoError(t, err)
		b := jitney.New(jitney.WithJournal(p), jitney.WithLogger(said.logger()))
		jitney.Subscribe(b, "printer", handle, jitney.WithStart(jitney.FromBeginning()), jitney.WithDeadLetters(&letters),
			jitney.WithRetry(jitney.Retry{Attempts: 5, Base: time.Millisecond, Max: 5 * time.Millisecond}), jitney.WithWorkers(4))
		f(b)
		require.NoError(t, b.Shutdown(t.Context()))
		require.NoError(t, p.Close(t.Context()))
	}
	run(func(b *jitney.Bus) {
		for n := range 8 {
			require.NoError(t, b.Publish(t.Context(), counted{"secret-a", n + 1}, counted{"secret-b", n + 1}))
		}
		require.NoError(t, b.Flush(t.Context()))
	})
	run(func(b *jitney.Bus) {
		require.NoError(t, b.Publish(t.Context(), counted{"secret-a", 9}))
		require.NoError(t, b.Flush(t.Context()))
	})
	require.Equal(t, map[string][]int{"secret-a": {1, 2, 3, 4, 6, 7, 8, 9}, "secret-b": {1, 2, 3, 4, 6, 7, 8}}, handled)
	dead, err := letters.List(t.Context(), jitney.DeadLetterFilter{Subscriber: "printer"})
	require.NoError(t, err)
	require.Len(t, dead, 2)
	require.NotContains(t, said.text(), "secret")
}

func TestABusGoesOnWhileConnectionsBreakAndLeadersMove(t *testing.T) {
	cluster := fake(t)
	p, err := begin(t.Context(), cluster.ListenAddrs(), types(), kafkajournal.WithTopic(topic()), kafkajournal.WithPartitions(4))
	require.NoError(t, err)
	w := newWitness()
	b := jitney.New(jitney.WithJournal(p), jitney.WithLogger(quiet))
	jitney.Subscribe(b, "s", w.handle, jitney.WithStart(jitney.FromBeginning()), jitney.WithWorkers(4))
	const keys, each = 10, 30
	var longest time.Duration
	for n := range each {
		for k := range keys {
			begun := time.Now()
			publishAnyway(t, b, counted{string(rune('a' + k)), n + 1})
			longest = max(longest, time.Since(begun))
		}
		switch n % 10 {
		case 2:
			p.cut(false)
		case 5:
			cluster.ShufflePartitionLeaders()
		case 8:
			cluster.RehashCoordinators()
		}
	}
	w.await(t, keys*each)
	require.NoError(t, b.Shutdown(t.Context()))
	require.NoError(t, p.Close(t.Context()))
	require.NoError(t, errors.Join(w.wrong...))
	t.Logf("%d acknowledged, the longest after %v; %d handled, %d handled again, %v without one at the longest",
		keys*each, longest.Round(time.Millisecond), len(w.places), w.again, w.longest.Round(time.Millisecond))
}

func TestAHandlerThatOutlastsTheLeaseKeepsItsPartition(t *testing.T) {
	const events, lease = 100, 2 * time.Second
	p, err := begin(t.Context(), fake(t).ListenAddrs(), types(), kafkajournal.WithTopic(topic()), kafkajournal.WithPartitions(2), kafkajournal.WithLease(lease))
	require.NoError(t, err)
	w := newWitness()
	b := jitney.New(jitney.WithJournal(p), jitney.WithLogger(quiet))
	jitney.Subscribe(b, "slow", func(ctx context.Context, e counted) error {
		if e.N == 1 {
			<-time.After(lease * 5 / 2)
		}
		return w.handle(ctx, e)
	}, jitney.WithStart(jitney.FromBeginning()))
	for n := range events {
		require.NoError(t, b.Publish(t.Context(), counted{"k", n + 1}))
	}
	w.await(t, events)
	require.NoError(t, b.Shutdown(t.Context()))
	require.NoError(t, p.Close(t.Context()))
	require.NoError(t, errors.Join(w.wrong...))
	require.Zero(t, w.again)
	t.Logf("%d acknowledged, %d handled, %d handled again", events, len(w.places), w.again)
}

// publishAnyway publishes until it is known that e is stored.
func publishAnyway(t *testing.T, b *jitney.Bus, e jitney.Event) {
	t.Helper()
	err := b.Publish(t.Context(), e)
	for unsure := (*jitney.AppendError)(nil); errors.As(err, &unsure); {
		require.ErrorIs(t, err, jitney.ErrIndeterminate)
		err = b.Forward(t.Context(), unsure.Envelopes[0])
	}
	require.NoError(t, err)
}

func TestTwoBusesShareASubscriber(t *testing.T) {
	cluster := fake(t)
	w, name := newWitness(), topic()
	var counts [2]atomic.Int64
	start := func(i int) (*process, *jitney.Bus) {
		p, err := begin(t.Context(), cluster.ListenAddrs(), types(), kafkajournal.WithTopic(name), kafkajournal.WithPartitions(4))
		require.NoError(t, err)
		b := jitney.New(jitney.WithJournal(p), jitney.WithLogger(quiet))
		jitney.Subscribe(b, "s", func(ctx context.Context, e counted) error { counts[i].Add(1); return w.handle(ctx, e) },
			jitney.WithStart(jitney.FromBeginning()), jitney.WithWorkers(4))
		return p, b
	}
	p, first := start(0)
	published := 0
	publish := func() {
		for k := range 20 {
			require.NoError(t, first.Publish(t.Context(), counted{string(rune('a' + k)), published/20 + 1}))
		}
		published += 20
		w.await(t, published)
	}
	publish()
	q, second := start(1)
	for counts[1].Load() < 50 {
		publish()
	}
	require.NoError(t, second.Shutdown(t.Context()))
	require.NoError(t, q.Close(t.Context()))
	publish()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	require.NoError(t, first.Flush(ctx))
	require.NoError(t, first.Shutdown(t.Context()))
	require.NoError(t, p.Close(t.Context()))
	require.NoError(t, errors.Join(w.wrong...))
	require.EqualValues(t, published, counts[0].Load()+counts[1].Load(), "each is handled once")
}

// handle is a handler.
func (w *witness) handle(_ context.Context, e counted) error {
	at := int64(crc32.ChecksumIEEE([]byte(e.Key)))<<20 | int64(e.N) // of its own for each event
	w.enter(e, at)
	pause()
	w.leave(e, at)
	return nil
}
