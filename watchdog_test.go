package jitney_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
)

func TestWatchdogNamesAPublisherThatWaits(t *testing.T) {
	var log logged
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		open := make(chan struct{})
		jitney.Subscribe(b, "busy", func(context.Context, fact) error { <-open; return nil }, jitney.WithBuffer(1))
		for range 2 {
			require.NoError(t, b.Publish(t.Context(), fact{}))
			synctest.Wait()
		}
		go func() { time.Sleep(20 * time.Second); close(open) }()
		require.NoError(t, b.Publish(t.Context(), fact{}))
		line := log.line("publisher waits")
		for _, part := range []string{"busy", "test.fact", "watchdog_test.go", "handler_works_on"} {
			assert.Contains(t, line, part)
		}
	}, jitney.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
}
