package bridge_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/bridge"
)

// logged collects log records as text.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// lines are the records that have part in them.
func (l *logged) lines(part string) (list []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.buf.String()) {
		if strings.Contains(line, part) {
			list = append(list, line)
		}
	}
	return list
}

// Nothing that is kept back, tried again or given up is silent, and nothing tells what is in an event.
func TestLogNamesWhatDoesNotCross(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &logged{}
		logger := slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
		engine, shop := newFaulty(), newPlace("shop", jitney.WithLogger(logger), jitney.WithSource("canary-source"))
		ends := shop.to(engine, "ORDERS")
		ends.Logger = logger
		ways := []*bridge.Way{bridge.Out[order](ends, "out"), bridge.In[order](ends, "in")}
		engine.down.Store(true)
		require.NoError(t, shop.Publish(t.Context(), placed{"canary-key", 1}))
		time.Sleep(time.Minute)
		engine.down.Store(false)
		for n := range 9 {
			require.NoError(t, shop.Publish(t.Context(), placed{"canary-key", n}))
		}
		time.Sleep(time.Minute)
		failures := l.lines("bridge: event not taken")
		assert.Less(t, len(failures), int(ways[0].Stats().Failed), "1st, 2nd, 4th, 8th …")
		for _, part := range []string{"level=WARN", "subscriber=out", "from=shop", "to=ORDERS", "event.type=orders.placed", "attempt=1", "error=boom"} {
			assert.Contains(t, failures[0], part)
		}
		back := l.lines("bridge: event kept back")
		assert.Len(t, back, 4, "1st, 2nd, 4th, 8th of ten")
		for _, part := range []string{"subscriber=in", "from=ORDERS", "to=shop", "kept_back_in_all=1"} {
			assert.Contains(t, back[0], part)
		}
		engine.fail.Store(func(*jitney.Envelope) error { return fmt.Errorf("engine: %w", jitney.ErrIDConflict) })
		require.NoError(t, shop.Publish(t.Context(), placed{"canary-key", 1}))
		synctest.Wait()
		assert.Len(t, l.lines("jitney: dead letter"), 1)
		assert.Empty(t, l.lines("canary-key"))
		end(t, ways, shop)
	})
}

// An engine that panics is one that has not taken the event.
func TestPanicOfTheEngineIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, shop, l := newFaulty(), newPlace("shop"), &logged{}
		engine.fail.Store(func(*jitney.Envelope) error { panic("engine") })
		ends := shop.to(engine, "ORDERS")
		ends.Logger = slog.New(slog.NewTextHandler(l, nil))
		out := bridge.Out[order](ends, "out")
		require.NoError(t, shop.Publish(t.Context(), placed{"1", 1}))
		time.Sleep(time.Minute)
		assert.Positive(t, out.Stats().Failed)
		assert.NotEmpty(t, l.lines("panic: engine"))
		engine.fail.Store(func(*jitney.Envelope) error { return nil })
		settle(t, out)
		assert.Equal(t, bridge.Stats{Crossed: 1, Failed: out.Stats().Failed}, out.Stats())
		assert.Equal(t, []int{1}, numbersOf(stored(t, engine)))
		end(t, []*bridge.Way{out}, shop)
	})
}
