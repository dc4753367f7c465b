package jitney_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
)

// fact is the tests' event.
type fact struct {
	Key  string
	From int // publisher
	N    int
}

func (fact) EventType() string { return "test.fact" }

func (f fact) EventKey() string { return f.Key }

// other is an event of another type.
type other struct{ N int }

func (other) EventType() string { return "test.other" }

var (
	errBoom = errors.New("boom")
	silent  = jitney.WithLogger(slog.New(slog.DiscardHandler))
)

// bubble runs f in a synctest bubble, with a bus that is shut down at the end with nothing left.
func bubble(t *testing.T, f func(t *testing.T, b *jitney.Bus), opts ...jitney.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(append([]jitney.Option{silent}, opts...)...)
		f(t, b)
		require.NoError(t, b.Shutdown(t.Context()))
		assert.Zero(t, b.Stats().Unaccounted())
	})
}

func ignore(context.Context, fact) error { return nil }

type moody struct{ throw bool }

func (moody) EventType() string { return "test.moody" }

func (m moody) EventKey() string {
	if m.throw {
		panic("EventKey panics")
	}
	return ""
}

type stranger struct{}

type shared struct{ text string }

func (*shared) EventType() string { return "test.shared" }

// logged collects log records as text.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) line(part string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.buf.String()) {
		if strings.Contains(line, part) {
			return line
		}
	}
	return ""
}

type impostor struct{}

func (impostor) EventType() string { return "test.fact" }

type family interface {
	jitney.Event
	isFamily()
}

func (fact) isFamily() {}

func (other) isFamily() {}
