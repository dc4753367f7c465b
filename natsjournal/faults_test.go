package natsjournal_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/natsjournal"
	"github.com/jitney-go/jitney/natsjournal/embedded"
	"github.com/jitney-go/jitney/natsjournal/internal/natstest"
	"github.com/jitney-go/jitney/wire"
)

// longLease is one that no fault of a test outlasts.
const longLease = 30 * time.Second

func port(t testing.TB, s *embedded.Server) (n int) {
	u, err := url.Parse(s.URL())
	require.NoError(t, err)
	_, err = fmt.Sscan(u.Port(), &n)
	require.NoError(t, err)
	return n
}

// listening returns a server with a port.
func listening(t testing.TB) *embedded.Server {
	s, err := embedded.Start(t.Context(), t.TempDir(), embedded.WithPort(0))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop()) })
	return s
}

func connecting(url string) *natstest.Place {
	return &natstest.Place{
		Connect: func() (*nats.Conn, error) { return nats.Connect(url, natsjournal.ConnOptions()...) }, Name: "TEST",
	}
}

func TestG19G21NothingAcknowledgedIsLostWhenTheServerRestarts(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	folder := t.TempDir()
	s, err := embedded.Start(ctx, folder, embedded.WithPort(0))
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Stop()) }()
	at := port(t, s)
	j := open(t, connecting(s.URL()), natsjournal.WithLease(longLease))
	l := natstest.Begin(ctx, j)
	for range 3 {
		l.GoesOn(t, 50)
		since := time.Now()
		require.NoError(t, s.Stop())
		s, err = embedded.Start(ctx, folder, embedded.WithPort(at))
		require.NoError(t, err)
		l.Back(t, since)
	}
	l.GoesOn(t, 50)
	l.End(ctx, t, j)
}

func TestG19G21NothingAcknowledgedIsLostWhenConnectionsAreCut(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s := listening(t)
	p := natstest.NewProxy(t, strings.TrimPrefix(s.URL(), "nats://"))
	j := open(t, connecting(p.URL), natsjournal.WithLease(longLease))
	l := natstest.Begin(ctx, j)
	for i := range 10 {
		l.GoesOn(t, 50)
		since := time.Now()
		if i%2 == 0 { // the server does what it is asked, and nobody gets to know
			p.Mute()
			<-time.After(5 * time.Millisecond)
		}
		p.Cut(20 * time.Millisecond)
		l.Back(t, since)
	}
	l.GoesOn(t, 50)
	l.End(ctx, t, j)
}

func TestG19WhatIsNotSentIsNotStored(t *testing.T) {
	s := listening(t)
	p := natstest.NewProxy(t, strings.TrimPrefix(s.URL(), "nats://"))
	j := open(t, connecting(p.URL))
	p.Cut(time.Hour)
	require.Eventually(t, func() bool { return !j.Conn.IsConnected() }, natstest.Patience, time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := j.Append(ctx, sealed(number(1)))
	require.ErrorIs(t, err, natsjournal.ErrNotConnected)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotErrorIs(t, err, jitney.ErrIndeterminate)
	p.Cut(0)
	require.NoError(t, j.Append(t.Context(), sealed(number(2))))
	assert.Equal(t, []counted{number(2)}, natstest.Everything(t.Context(), t, j))
}

func TestG19AnAnswerThatIsLostIsIndeterminate(t *testing.T) {
	s := listening(t)
	p := natstest.NewProxy(t, strings.TrimPrefix(s.URL(), "nats://"))
	j := open(t, connecting(p.URL))
	for n, batch := range [][]*jitney.Envelope{{sealed(number(1))}, {sealed(number(2)), sealed(number(3))}} {
		p.Mute()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		require.ErrorIs(t, j.Append(ctx, batch...), jitney.ErrIndeterminate, "%d", n)
		cancel()
		p.Cut(0)
		require.NoError(t, j.Append(t.Context(), batch...), "%d", n)
	}
	assert.Equal(t, []counted{number(1), number(2), number(3)}, natstest.Everything(t.Context(), t, j))
}

func TestG28AFullStreamRefusesAndGoesOnWhenThereIsRoom(t *testing.T) {
	places(t, func(t *testing.T, begin beginning) {
		p := begin(t)
		j := open(t, p, natsjournal.WithMaxBytes(20_000))
		var stored []counted
		var err error
		for n := 0; err == nil; n++ {
			if err = j.Append(t.Context(), sealed(number(n))); err == nil {
				stored = append(stored, number(n))
			}
		}
		require.ErrorIs(t, err, natsjournal.ErrFull)
		require.NotErrorIs(t, err, jitney.ErrIndeterminate)
		require.NotEmpty(t, stored)
		assert.Equal(t, stored, natstest.Everything(t.Context(), t, j))
		t.Logf("%d acknowledged, %d stored, 1 refused", len(stored), len(stored))
		if p.Batchless == "" {
			require.ErrorIs(t, j.Append(t.Context(), sealed(number(-1)), sealed(number(-2))), natsjournal.ErrFull)
			assert.Equal(t, stored, natstest.Everything(t.Context(), t, j))
		}
		p.Enlarge(t, 40_000)
		more, since := number(len(stored)), time.Now()
		require.NoError(t, j.Append(t.Context(), sealed(more)))
		t.Logf("acknowledged %v after there was room", time.Since(since).Round(time.Millisecond))
		assert.Equal(t, append(stored, more), natstest.Everything(t.Context(), t, j))
	})
}

func TestAHandlerThatOutlastsTheLeaseKeepsItsPlace(t *testing.T) {
	places(t, func(t *testing.T, begin beginning) {
		const events = 100
		p := begin(t)
		var handled [2][]int
		var effects [events]atomic.Int64 // of the one with an inbox
		var done atomic.Int64
		start := func(i int) *jitney.Bus {
			j := open(t, p)
			b := jitney.New(jitney.WithJournal(j), jitney.WithLogger(slog.New(slog.DiscardHandler)))
			slow := func(name string, effect func(n int), opts ...jitney.SubscribeOption) {
				jitney.Subscribe(b, name, func(_ context.Context, e counted) error {
					if e.N == 0 {
						<-time.After(natstest.Lease * 5 / 2)
					}
					effect(e.N)
					done.Add(1)
					return nil
				}, append(opts, jitney.WithStart(jitney.FromBeginning()))...)
			}
			slow("slow", func(n int) { handled[i] = append(handled[i], n) })
			slow("once", func(n int) { effects[n].Add(1) }, jitney.WithIdempotency(j.Inbox()))
			return b
		}
		first := start(0)
		var want []int
		for n := range events {
			require.NoError(t, first.Publish(t.Context(), number(n)))
			want = append(want, n)
		}
		second := start(1) // it stands in line
		require.Eventually(t, func() bool { return done.Load() >= 2*events }, natstest.Patience, 5*time.Millisecond)
		require.NoError(t, second.Shutdown(t.Context()))
		require.NoError(t, first.Shutdown(t.Context()))
		assert.Equal(t, want, handled[0])
		assert.Empty(t, handled[1])
		for n := range effects {
			assert.EqualValues(t, 1, effects[n].Load(), "effects of %d", n)
		}
		t.Logf("%d acknowledged, %d handled, %d handled again or with an effect twice", events, len(handled[0]), done.Load()-2*events)
	})
}

func TestWhatTheServerDoesNotTakeIsRefused(t *testing.T) {
	places(t, func(t *testing.T, begin beginning) {
		j := open(t, begin(t))
		most := int(j.Conn.MaxPayload())
		big := jitney.RawEvent{Type: "big", Version: 1, ContentType: "image/png", Data: make([]byte, min(most, 1<<20))}
		env := sealed(big)
		if most <= 1<<20 {
			err := j.Append(t.Context(), env)
			require.ErrorIs(t, err, wire.ErrPayloadTooLarge)
			require.ErrorContains(t, err, "max_payload")
		} else {
			require.NoError(t, j.Append(t.Context(), env))
		}
		env = sealed(jitney.RawEvent{Type: strings.Repeat("x", 2000), Version: 1})
		require.ErrorIs(t, j.Append(t.Context(), env), jitney.ErrInvalidEnvelope)
		env = sealed(number(1))
		env.Key = strings.Repeat("k", 70_000) // the headers of a message have 64 KiB
		err := j.Append(t.Context(), env)
		require.Error(t, err)
		require.NotErrorIs(t, err, jitney.ErrIndeterminate)
		require.NotContains(t, err.Error(), "kkkkkkkk")
		require.NoError(t, j.Append(t.Context(), sealed(number(1))))
	})
}
