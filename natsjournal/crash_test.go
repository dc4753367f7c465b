package natsjournal_test

import (
	"context"
	"fmt"
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
