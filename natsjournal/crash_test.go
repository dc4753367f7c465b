package natsjournal_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/natsjournal/internal/natstest"
)

func TestG21WhatWasInFlightAtADeathComesAgain(t *testing.T) {
	places(t, func(t *testing.T, begin beginning) {
		p := begin(t)
		j := open(t, p)
		c, err := j.Open(t.Context(), jitney.Durable{Name: "s", From: jitney.FromBeginning(), Window: 100})
		require.NoError(t, err)
		for n := range 20 {
			require.NoError(t, j.Append(t.Context(), sealed(number(n))))
		}
		entries := next(t, c, 10)
		for _, e := range entries[:5] {
			c.Settle(e.Position, jitney.Settled)
		}
		j.Kill()

		since := time.Now()
		j = open(t, p)
		c, err = j.Open(t.Context(), jitney.Durable{Name: "s", Window: 100})
		require.NoError(t, err)
		last, again := -1, 0
		for last < 19 {
			for _, e := range next(t, c, 1) {
				if last < 0 {
					t.Logf("20 acknowledged, given again %v after the death, with a lease of %v", time.Since(since).Round(time.Millisecond), natstest.Lease)
				}
				n := e.Envelope.Event.(counted).N
				require.Greater(t, n, last, "in order")
				if last = n; n < 5 {
					again++
				}
				c.Settle(e.Position, jitney.Settled)
			}
		}
		t.Logf("%d of 5 that were settled came again", again)
		require.NoError(t, c.Close(t.Context()))
	})
}

// What an inbox of the journal's own promises: between the effect and its mark there is no transaction, so a death there
// repeats the effect. One before it, or behind it, does not.
func TestG12ADeathRepeatsTheEffectsOfWhatRanAndNoOthers(t *testing.T) {
	places(t, func(t *testing.T, begin beginning) {
		const settled, marked, events = 4, 7, 10 // the rest is running at the death
		p := begin(t)
		var effects [events + 1]atomic.Int64
		subscribe := func(j, marks *natstest.Process, effect func(n int)) (*jitney.Bus, *jitney.Subscription) {
			b := jitney.New(jitney.WithJournal(j), jitney.WithLogger(slog.New(slog.DiscardHandler)))
			return b, jitney.Subscribe(b, "once", func(_ context.Context, e counted) error {
				effects[e.N].Add(1)
				effect(e.N)
				return nil
			}, jitney.WithStart(jitney.FromBeginning()), jitney.WithWorkers(events), jitney.WithIdempotency(marks.Inbox()))
		}
		publish := func(b *jitney.Bus, n int) {
			require.NoError(t, b.Publish(t.Context(), counted{Key: fmt.Sprint("key ", n), N: n}))
		}
		// Its inbox has a connection of its own, which dies last: what ends in between is marked, and not known as settled.
		first, marks := open(t, p), open(t, p)
		mark, end := make(chan struct{}), make(chan struct{})
		dying, sub := subscribe(first, marks, func(n int) {
			switch {
			case n >= marked:
				<-end
			case n >= settled:
				<-mark
			}
		})
		for n := range events {
			publish(dying, n)
		}
		had := func(n, times int) bool { return effects[n].Load() == int64(times) }
		require.Eventually(t, func() bool {
			begun := 0
			for n := range events {
				begun += int(effects[n].Load())
			}
			return begun == events && sub.Stats().Handled == settled
		}, natstest.Patience, time.Millisecond)
		first.Conn.Close()
		close(mark)
		require.Eventually(t, func() bool { return sub.Stats().Handled == marked }, natstest.Patience, time.Millisecond)
		marks.Conn.Close()
		close(end)

		j := open(t, p)
		b, sub := subscribe(j, j, func(int) {})
		publish(b, events)
		require.Eventually(t, func() bool { return had(events, 1) }, natstest.Patience, time.Millisecond)
		require.NoError(t, b.Shutdown(t.Context()))
		twice := 0
		for n := range events {
			want := 1
			if n >= marked {
				want, twice = 2, twice+1
			}
			assert.True(t, had(n, want), "%d had %d effects, and was to have %d", n, effects[n].Load(), want)
		}
		absorbed := sub.Stats().Duplicates
		assert.GreaterOrEqual(t, absorbed, uint64(marked-settled), "they came again")
		t.Logf("%d acknowledged, %d running at the death, %d effects twice, %d absorbed by the inbox", events, events-marked, twice, absorbed)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_ = dying.Shutdown(ctx) // it is dead
	})
}

func TestG30CrashLoopsEnd(t *testing.T) {
	places(t, func(t *testing.T, begin beginning) {
		p := begin(t)
		j := open(t, p)
		for n := range 6 {
			require.NoError(t, j.Append(t.Context(), sealed(number(n))))
		}
		for i, want := range []string{
			"[0 1 2] [0 0 0]", // 2 kills it; nothing is known yet
			"[2] [1]",         // it is the first that may have been in flight, and it is known now that it was
			"[2] [2]",
		} {
			assert.Equal(t, want, live(t, p, func(n int) bool { return n != 2 }), "life %d", i)
		}
		every := func(int) bool { return true }
		assert.Equal(t, "[2 3 4 5] [3 1 1 1]", live(t, p, every), "the bus makes a dead letter of what has three")
		assert.Equal(t, "[] []", live(t, p, every))
	})
}

// live is a process: it is given entries until it dies, and settles those that survives reports true for.
func live(t *testing.T, p *natstest.Place, survives func(n int) bool) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), natstest.Patience)
	defer cancel()
	var given, crashes []int
	j := open(t, p)
	c, err := j.Open(ctx, jitney.Durable{Name: "s", From: jitney.FromBeginning(), Window: 100})
	require.NoError(t, err)
	end, err := j.End(ctx)
	require.NoError(t, err)
	for through := int64(0); through < end || through > end; {
		var entries []jitney.Entry
		entries, through, err = c.Next(ctx, 100)
		require.NoError(t, err)
		for _, e := range entries {
			n := e.Envelope.Event.(counted).N
			given, crashes = append(given, n), append(crashes, e.Crashes)
			if !survives(n) {
				require.NoError(t, j.Close()) // without closing the cursor: that is a death
				return fmt.Sprint(given, crashes)
			}
			c.Settle(e.Position, jitney.Settled)
		}
	}
	require.NoError(t, c.Close(ctx))
	require.NoError(t, j.Close())
	return fmt.Sprint(given, crashes)
}

func TestNextSaysHowFarItIsWhenTheRestWasSettledBefore(t *testing.T) {
	p := natstest.Embedded(t)
	j := open(t, p)
	for n := range 10 {
		require.NoError(t, j.Append(t.Context(), sealed(number(n))))
	}
	c, err := j.Open(t.Context(), jitney.Durable{Name: "s", From: jitney.FromBeginning()})
	require.NoError(t, err)
	settle(c, next(t, c, 10)[1:])
	require.NoError(t, c.Close(t.Context()))
	c, err = j.Open(t.Context(), jitney.Durable{Name: "s"})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), natstest.Patience)
	defer cancel()
	for through := int64(0); through < 10; {
		_, through, err = c.Next(ctx, 1)
		require.NoError(t, err)
	}
	require.NoError(t, c.Close(t.Context()))
}
