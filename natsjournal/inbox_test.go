package natsjournal_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
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
