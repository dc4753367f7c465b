package natsjournal_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/natsjournal"
	"github.com/jitney-go/jitney/natsjournal/internal/natstest"
)

func TestABusThatIsStartedAgainGoesOn(t *testing.T) {
	places(t, func(t *testing.T, begin beginning) {
		p := begin(t)
		var handled, tried atomic.Int64
		var broken atomic.Bool
		broken.Store(true)
		start := func() (*natstest.Process, *jitney.Bus, jitney.DeadLetterStore) {
			j := open(t, p)
			b := jitney.New(jitney.WithJournal(j), jitney.WithDeadLetters(j.DeadLetters()), jitney.WithLogger(slog.New(slog.DiscardHandler)))
			jitney.Subscribe(b, "s", func(_ context.Context, e counted) error {
				tried.Add(1)
				switch {
				case e.N == 1:
					return jitney.Permanent(errors.New("never"))
				case e.N == 2 && broken.Load():
					return errors.New("not yet")
				}
				handled.Add(1)
				return nil
			}, jitney.WithStart(jitney.FromBeginning()), jitney.WithWorkers(4), jitney.WithIdempotency(j.Inbox()),
				jitney.WithRetry(jitney.Retry{Attempts: 1000, Base: 5 * time.Millisecond, Max: 20 * time.Millisecond}))
			return j, b, j.DeadLetters()
		}
		j, b, _ := start()
		for n := range 10 {
			require.NoError(t, b.Publish(t.Context(), counted{Key: string(rune('a' + n)), N: n}))
		}
		require.Eventually(t, func() bool { return handled.Load() == 8 && tried.Load() > 11 }, natstest.Patience, time.Millisecond)
		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_ = b.Shutdown(short) // 2 is left
		require.NoError(t, j.Close())

		broken.Store(false)
		j, b, letters := start()
		require.NoError(t, b.Flush(t.Context()))
		assert.EqualValues(t, 9, handled.Load())
		dead, err := letters.List(t.Context(), jitney.DeadLetterFilter{Subscriber: "s"})
		require.NoError(t, err)
		require.Len(t, dead, 1)
		assert.Equal(t, counted{Key: "b", N: 1}, dead[0].Envelope.Event)
		list, err := j.Places(t.Context())
		require.NoError(t, err)
		require.Len(t, list, 1)
		assert.Equal(t, "s", list[0].Subscriber)
		assert.NotEmpty(t, list[0].Owner)
		require.NoError(t, b.Shutdown(t.Context()))
		list, err = j.Places(t.Context())
		require.NoError(t, err)
		assert.Equal(t, natsjournal.Place{Subscriber: "s", Position: 10}, list[0])
		assert.True(t, list[0].Done())
	})
}

func TestG32NothingSecretIsTold(t *testing.T) {
	const canary = "canary"
	var said bytes.Buffer
	s := listening(t)
	p := natstest.NewProxy(t, strings.TrimPrefix(s.URL(), "nats://"))
	j := open(t, connecting(p.URL), natsjournal.WithLogger(slog.New(slog.NewTextHandler(&said, nil))), natsjournal.WithMaxBytes(100_000))
	env := sealed(counted{Key: canary, N: 1})
	env.Key, env.Headers = canary, map[string]string{"tenant": canary}
	var errs []error
	other := *env
	other.Event = counted{Key: canary, N: 2}
	large := sealed(jitney.RawEvent{Type: "large", Version: 1, Data: []byte(strings.Repeat(canary, 20_000))})
	errs = append(errs, j.Append(t.Context(), env), j.Append(t.Context(), &other), j.Append(t.Context(), large), j.Append(t.Context(), &other, large))
	dialled := dial(t, s.URL())
	dialled.publish("TEST.event.natstest.counted", "NATS/1.0\r\nce-id: canary\r\nce-specversion: 1.0\r\nce-source: s\r\nce-type: natstest.counted\r\nce-tenant: %zz"+canary+"\r\n\r\n", canary)
	dialled.publish("TEST.event.natstest.counted", "NATS/1.0\r\nce-id: c\r\nce-specversion: 1.0\r\nce-source: s\r\nce-type: natstest.counted\r\n\r\n", canary)
	dialled.flush()
	c, err := j.Open(t.Context(), jitney.Durable{Name: "s", From: jitney.FromBeginning()})
	require.NoError(t, err)
	for _, e := range next(t, c, 3) {
		errs = append(errs, e.Err)
	}
	p.Cut(time.Hour)
	require.Eventually(t, func() bool { return !j.Conn.IsConnected() }, natstest.Patience, time.Millisecond)
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	errs = append(errs, j.Append(short, sealed(counted{Key: canary})))
	p.Cut(0)
	require.NoError(t, c.Close(t.Context()))
	text := errors.Join(errs...).Error()
	assert.Contains(t, text, "another event has this ID")
	assert.NotContains(t, text, canary)
	assert.NotContains(t, said.String(), canary)
}
