package jitney_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
)

func TestRawEventsGoToThoseWhoHearEverything(t *testing.T) {
	b := jitney.New(silent)
	var all, facts int
	jitney.Subscribe(b, "all", func(context.Context, jitney.Event) error { all++; return nil }, jitney.WithSync())
	jitney.Subscribe(b, "facts", func(context.Context, fact) error { facts++; return nil }, jitney.WithSync())
	for _, name := range []string{"other.a", "other.b", "other.a"} {
		require.NoError(t, b.Publish(t.Context(), jitney.RawEvent{Type: name, Version: 2, Data: []byte("secret")}))
	}
	assert.Equal(t, 3, all)
	assert.Zero(t, facts)

	err := b.Publish(t.Context(), jitney.RawEvent{Type: "test.fact", Version: 1})
	require.ErrorIs(t, err, jitney.ErrTypeConflict, "those who take the Go type would not hear it")
	require.ErrorIs(t, b.Publish(t.Context(), jitney.RawEvent{Version: 1}), jitney.ErrInvalidName)
	require.ErrorIs(t, b.Publish(t.Context(), jitney.RawEvent{Type: "other.a"}), jitney.ErrInvalidEnvelope, "version 0")
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		assert.NotContains(t, fmt.Sprintf(format, jitney.RawEvent{Type: "x", Data: []byte("secret")}), "secret")
	}
	require.NoError(t, b.Shutdown(t.Context()))
}
