package jitney_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
)

func TestG17Wiring(t *testing.T) {
	b := jitney.New(silent)
	defer func() { require.NoError(t, b.Shutdown(t.Context())) }()
	jitney.Subscribe(b, "taken", ignore)
	for name, c := range map[string]struct {
		wrong    func()
		mentions []string
	}{
		"name taken":     {func() { jitney.Subscribe(b, "taken", ignore) }, []string{`"taken"`, "wiring_test.go"}},
		"two types":      {func() { jitney.Subscribe(b, "s", func(context.Context, impostor) error { return nil }) }, []string{"test.fact", "jitney_test.fact", "jitney_test.impostor"}},
		"pointer beside": {func() { jitney.Subscribe(b, "s", func(context.Context, *fact) error { return nil }) }, []string{"jitney_test.fact", "*jitney_test.fact"}},
		"empty name":     {func() { jitney.Subscribe(b, "", ignore) }, []string{"empty"}},
		"name with LF":   {func() { jitney.Subscribe(b, "a\nb", ignore) }, []string{`\n`}},
		"nil handler":    {func() { jitney.Subscribe[fact](b, "s", nil) }, []string{"nil"}},
		"no buffer":      {func() { jitney.WithBuffer(0) }, []string{"WithBuffer(0)"}},
		"no workers":     {func() { jitney.WithWorkers(-1) }, []string{"WithWorkers(-1)"}},
		"nil logger":     {func() { jitney.WithLogger(nil) }, []string{"WithLogger(nil)"}},
		"nil option":     {func() { jitney.New(nil) }, []string{"nil"}},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				text := fmt.Sprint(recover())
				for _, m := range c.mentions {
					assert.Contains(t, text, m)
				}
			}()
			c.wrong()
			t.Error("no panic")
		})
	}
	require.ErrorIs(t, b.Publish(t.Context(), impostor{}), jitney.ErrTypeConflict)
	require.ErrorIs(t, b.Publish(t.Context(), nil), jitney.ErrNilEvent)
	var none *shared
	require.ErrorIs(t, b.Publish(t.Context(), none), jitney.ErrNilEvent)
}
