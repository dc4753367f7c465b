package kafkajournal_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
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
