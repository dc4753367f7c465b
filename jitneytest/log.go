package jitneytest

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/jitney-go/jitney"
)

// testLog writes to t.Log until it is closed: a handler that ignores its context may log after its test
// has ended, when t.Log would panic.
type testLog struct {
	mu sync.Mutex
	t  testing.TB // nil once closed
}

func (l *testLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.t != nil {
		l.t.Log(strings.TrimSuffix(string(p), "\n"))
	}
	return len(p), nil
}

func (l *testLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.t = nil
}

// logHandler also learns of dead letters: the bus logs each one, whatever store it goes to.
type logHandler struct {
	log   *testLog
	hub   *hub
	inner slog.Handler
}

func (h *logHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.inner.Enabled(ctx, level)
}

func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "jitney: dead letter" {
		r.Attrs(func(a slog.Attr) bool {
			if l, ok := a.Value.Any().(jitney.DeadLetter); ok {
				h.hub.died(l)
			}
			return true
		})
	}
	return h.inner.Handle(ctx, r)
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logHandler{h.log, h.hub, h.inner.WithAttrs(attrs)}
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	return &logHandler{h.log, h.hub, h.inner.WithGroup(name)}
}
