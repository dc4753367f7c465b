package dbtest

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
)

// listener is a bus on j whose one subscriber writes down what it hears.
type listener struct {
	bus  *jitney.Bus
	mu   sync.Mutex
	seen map[string][]int
}

func listen(j *sqljournal.Journal, opts ...jitney.SubscribeOption) *listener {
	return listenOn(jitney.New(jitney.WithJournal(j), jitney.WithLogger(slog.New(slog.DiscardHandler))), opts...)
}

func listenOn(b *jitney.Bus, opts ...jitney.SubscribeOption) *listener {
	l := &listener{bus: b, seen: make(map[string][]int)}
	jitney.Subscribe(l.bus, "listener", func(_ context.Context, e Counted) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.seen[e.Key] = append(l.seen[e.Key], e.N)
		return nil
	}, append(opts, jitney.WithStart(jitney.FromBeginning()))...)
	return l
}

func (l *listener) of(key string) []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]int(nil), l.seen[key]...)
}

// hears waits until the listener has heard n events of key.
func (l *listener) hears(t *testing.T, key string, n int) []int {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		if got := l.of(key); len(got) >= n {
			return got
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: heard %v, expected %d", key, l.of(key), n)
		}
		<-time.After(2 * time.Millisecond)
	}
}
