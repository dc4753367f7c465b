package jitney_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/jitneytest"
	"github.com/jitney-go/jitney/wire"
)

func TestListenedKnowsWhetherAnybodyHears(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		assert.False(t, jitney.Listened[fact](b))
		assert.False(t, jitney.Listened[*shared](b))
		assert.True(t, jitney.Listened[other](b), "it is kept for those who come late")
		one := jitney.Subscribe(b, "one", ignore)
		assert.True(t, jitney.Listened[fact](b))
		assert.False(t, jitney.Listened[*shared](b))
		all := jitney.Subscribe(b, "all", func(context.Context, jitney.Event) error { return nil })
		assert.True(t, jitney.Listened[*shared](b))
		require.NoError(t, one.Close(t.Context()))
		assert.True(t, jitney.Listened[fact](b))
		require.NoError(t, all.Close(t.Context()))
		assert.False(t, jitney.Listened[fact](b))
		assert.Empty(t, b.Stats().Unheard, "to ask is not to publish")
	}, jitney.WithRetained[other](1))
}

func TestAJournalListens(t *testing.T) {
	b := jitney.New(silent, jitney.WithJournal(jitneytest.NewMemoryJournal(wire.NewTypes())))
	assert.True(t, jitney.Listened[fact](b))
	require.NoError(t, b.Shutdown(t.Context()))
}

func TestListenedAllocatesNothing(t *testing.T) {
	b := jitney.New(silent)
	assert.False(t, jitney.Listened[fact](b))
	assert.Zero(t, testing.AllocsPerRun(100, func() { jitney.Listened[fact](b) }))
	jitney.Subscribe(b, "s", ignore)
	assert.Zero(t, testing.AllocsPerRun(100, func() { jitney.Listened[fact](b) }))
	require.NoError(t, b.Shutdown(t.Context()))
}

func TestListenedIsAskedAboutOneEventsType(t *testing.T) {
	b := jitney.New(silent)
	defer func() { require.NoError(t, b.Shutdown(t.Context())) }()
	jitney.Subscribe(b, "facts", ignore)
	for name, wrong := range map[string]func(){
		"an interface":    func() { jitney.Listened[family](b) },
		"a raw event":     func() { jitney.Listened[jitney.RawEvent](b) },
		"a question":      func() { jitney.Listened[double](b) },
		"another's name":  func() { jitney.Listened[impostor](b) },
		"an invalid name": func() { jitney.Listened[nameless](b) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() { assert.Contains(t, fmt.Sprint(recover()), "Listened at ") }()
			wrong()
			t.Error("no panic")
		})
	}
}

type nameless struct{}

func (nameless) EventType() string { return "" }
