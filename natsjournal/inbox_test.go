package natsjournal_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/natsjournal"
	"github.com/jitney-go/jitney/natsjournal/internal/natstest"
)

func TestG12TwoProcessesRunOneHandlerForAKey(t *testing.T) {
	places(t, func(t *testing.T, begin beginning) {
		p := begin(t)
		first, second := open(t, p), open(t, p)
		key := jitney.InboxKey{Subscriber: "billing", Business: "1"}
		succeed := func(context.Context) error { return nil }
		running, finish := make(chan struct{}), make(chan struct{})
		ended := make(chan error, 2)
		go func() {
			ended <- first.Inbox().Run(t.Context(), key, func(context.Context) error {
				close(running)
				<-finish
				return nil
			})
		}()
		<-running
		called := false
		go func() {
			ended <- second.Inbox().Run(t.Context(), key, func(context.Context) error { called = true; return nil })
		}()
		close(finish)
		assert.ElementsMatch(t, []error{nil, jitney.ErrDuplicate}, []error{<-ended, <-ended})
		assert.False(t, called)

		key.Business = "2" // its process dies in the handler
		err := first.Inbox().Run(t.Context(), key, func(context.Context) error {
			first.Kill()
			return errors.New("dead")
		})
		require.ErrorContains(t, err, "dead")
		require.NoError(t, second.Inbox().Run(t.Context(), key, succeed))
		require.ErrorIs(t, second.Inbox().Run(t.Context(), key, succeed), jitney.ErrDuplicate)
	})
}

func TestG12AHandlerThatOutlastsTheLeaseKeepsItsClaim(t *testing.T) {
	places(t, func(t *testing.T, begin beginning) {
		p := begin(t)
		first, second := open(t, p), open(t, p)
		key := jitney.InboxKey{Subscriber: "billing", Business: "1"}
		running, ended := make(chan struct{}), make(chan error, 1)
		go func() {
			ended <- first.Inbox().Run(t.Context(), key, func(context.Context) error {
				close(running)
				<-time.After(natstest.Lease * 5 / 2)
				return nil
			})
		}()
		<-running
		called := false
		err := second.Inbox().Run(t.Context(), key, func(context.Context) error { called = true; return nil })
		require.ErrorIs(t, err, jitney.ErrDuplicate)
		assert.False(t, called)
		require.NoError(t, <-ended)
	})
}

// A lease is what others wait for. A process need not wait for its own claim, as when a connection broke before the server
// could say that it has it, or is to free it.
func TestAClaimThatACutHasLeftBehindHoldsUpItsOwnProcessNoLonger(t *testing.T) {
	s := listening(t)
	proxy := natstest.NewProxy(t, strings.TrimPrefix(s.URL(), "nats://"))
	j := open(t, connecting(proxy.URL), natsjournal.WithLease(time.Hour))
	key := jitney.InboxKey{Subscriber: "billing", Business: "1"}
	err := j.Inbox().Run(t.Context(), key, func(context.Context) error {
		proxy.Cut(time.Hour)
		assert.Eventually(t, func() bool { return !j.Conn.IsConnected() }, natstest.Patience, time.Millisecond)
		return errors.New("cut off")
	})
	require.ErrorContains(t, err, "cut off")
	proxy.Cut(0)
	require.Eventually(t, j.Conn.IsConnected, natstest.Patience, time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), natstest.Patience)
	defer cancel()
	called := false
	require.NoError(t, j.Inbox().Run(ctx, key, func(context.Context) error { called = true; return nil }))
	assert.True(t, called)
}
