package jitney

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type noted struct{}

func (noted) EventType() string { return "test.noted" }

// What is kept is in a sticky subscription's queue before any publisher sees it.
func TestASubscriberIsReadyBeforeItIsSeen(t *testing.T) {
	b := New()
	first := Subscribe(b, "first", func(context.Context, noted) error { return nil })
	r, err := b.routes.of(noted{})
	require.NoError(t, err)
	ready := false
	late := &Subscription{name: "late", bus: b, want: r.typ, typ: r.name}
	require.NoError(t, b.routes.add(late, func() {
		ready = true
		assert.Equal(t, []*Subscription{first}, *r.subs.Load())
	}))
	assert.True(t, ready)
	assert.Equal(t, []*Subscription{first, late}, *r.subs.Load())
	b.routes.leave(late)
	b.routes.forget(late)
	require.NoError(t, b.Shutdown(t.Context()))
}
