package natsjournal_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/jitneytest"
	"github.com/jitney-go/jitney/natsjournal"
	"github.com/jitney-go/jitney/natsjournal/internal/natstest"
	"github.com/jitney-go/jitney/wire"
)

type counted = natstest.Counted

func number(n int) counted { return counted{Key: "k", N: n} }

type jsonText = json.RawMessage

func types() *wire.Types {
	ts := jitneytest.Types()
	wire.Register[counted](ts)
	return ts
}

type beginning = func(t testing.TB) *natstest.Place

// places runs f on each kind of server. begin returns an empty place.
func places(t *testing.T, f func(t *testing.T, begin beginning)) {
	t.Run("Embedded", func(t *testing.T) { f(t, natstest.Embedded) })
	t.Run("Server", func(t *testing.T) { f(t, natstest.Real) })
}

func open(t testing.TB, p *natstest.Place, opts ...natsjournal.Option) *natstest.Process {
	j, err := p.Open(types(), opts...)
	require.NoError(t, err)
	t.Cleanup(func() {
		if !j.Conn.IsClosed() {
			require.NoError(t, j.Close())
		}
	})
	return j
}

func TestJournal(t *testing.T) {
	places(t, func(t *testing.T, begin beginning) {
		jitneytest.TestJournal(t, func(t *testing.T) jitneytest.JournalStore { return &natstest.Store{Place: begin(t)} })
	})
}

func TestInbox(t *testing.T) {
	places(t, func(t *testing.T, begin beginning) {
		jitneytest.TestInbox(t, func(t *testing.T) jitney.Inbox { return open(t, begin(t)).Inbox() })
	})
}

func TestDeadLetters(t *testing.T) {
	places(t, func(t *testing.T, begin beginning) {
		jitneytest.TestDeadLetterStore(t, func(t *testing.T) jitney.DeadLetterStore { return open(t, begin(t)).DeadLetters() })
	})
}

// sealed is e in an envelope.
func sealed(e jitney.Event) *jitney.Envelope {
	return &jitney.Envelope{ID: uuid.Must(uuid.NewV7()), Type: e.EventType(), Version: 1, Time: time.Now(), Event: e}
}

// next returns the next n entries of a cursor.
func next(t testing.TB, c jitney.Cursor, n int) (entries []jitney.Entry) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), natstest.Patience)
	defer cancel()
	for len(entries) < n {
		more, _, err := c.Next(ctx, n-len(entries))
		require.NoError(t, err, "after %d of %d", len(entries), n)
		entries = append(entries, more...)
	}
	return entries
}
