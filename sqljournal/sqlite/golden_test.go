package sqlite_test

import (
	"compress/gzip"
	"context"
	"flag"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/deadletter"
	"github.com/jitney-go/jitney/sqljournal"
	"github.com/jitney-go/jitney/sqljournal/sqlite"
	"github.com/jitney-go/jitney/wire"
)

// A journal of each released schema version is kept under testdata. Once it is released it is never made anew: the next
// version gets a file of its own, and this code has to go on reading all of them.
const golden = "testdata/version1.db.gz"

var update = flag.Bool("update", false, "make the journal under testdata of the newest version anew")

// kept is the event in the golden journal.
type kept struct {
	Key string
	N   int
}

func (kept) EventType() string  { return "test.kept" }
func (k kept) EventKey() string { return k.Key }

func keptTypes() *wire.Types {
	types := wire.NewTypes()
	wire.Register[kept](types)
	return types
}

var (
	goldenTime  = time.Date(2026, 11, 21, 12, 0, 0, 123_456_789, time.UTC)
	goldenWait  = jitney.Progress{Attempts: 2, First: goldenTime, Due: goldenTime.Add(time.Hour), Wait: time.Hour, Last: jitney.Attempt{Number: 2, Time: goldenTime, Error: "out of paper", Class: "*printer.Error"}}
	goldenHold  = jitney.Held{Paused: true, Until: goldenTime, Pause: time.Minute, Trips: 3, Err: "down"}
	goldenAfter = deadletter.Checkpoint{After: goldenID(1), Last: goldenID(9)}
)

func goldenID(n byte) uuid.UUID { return uuid.UUID{0x01, 0xa1, 6: 0x70, 8: 0x80, 15: n} }

func goldenEnvelope(n int) *jitney.Envelope {
	return &jitney.Envelope{
		ID: goldenID(byte(n)), Type: "test.kept", Version: 1, Time: goldenTime.Add(time.Duration(n) * time.Minute), Source: "shop", Key: "ключ",
		Correlation: "request-7", CausationID: goldenID(99), Hops: 1, Headers: map[string]string{"tenant": "naïve \"café\""}, Event: kept{"ключ", n},
	}
}

func makeGolden(t *testing.T, path string) {
	ctx := t.Context()
	j, err := sqlite.Open(ctx, path, keptTypes())
	require.NoError(t, err)
	for n := 1; n <= 6; n++ {
		require.NoError(t, j.Append(ctx, goldenEnvelope(n)))
	}
	c, err := j.Open(ctx, jitney.Durable{Name: "s", From: jitney.FromBeginning(), Window: 10, Held: func(jitney.Held) {}})
	require.NoError(t, err)
	entries, _, err := c.Next(ctx, 5)
	require.NoError(t, err)
	require.Len(t, entries, 5)
	c.Settle(entries[0].Position, jitney.Settled)
	c.Postpone(entries[1].Position, goldenWait)
	c.Settle(entries[2].Position, jitney.Settled)
	c.Settle(entries[4].Position, jitney.Settled)
	require.NoError(t, c.Hold(ctx, goldenHold))
	require.NoError(t, c.Close(ctx))
	require.NoError(t, j.DeadLetters().Add(ctx, jitney.DeadLetter{
		ID: goldenID(20), Envelope: goldenEnvelope(3), Original: goldenEnvelope(4), Subscriber: "s", Reason: jitney.ReasonExhausted,
		Time: goldenTime, Attempts: 5, History: []jitney.Attempt{goldenWait.Last}, Redeliveries: 1,
	}))
	require.NoError(t, j.Inbox().Run(ctx, jitney.InboxKey{Subscriber: "s", Event: goldenID(5)}, func(context.Context) error { return nil }))
	require.NoError(t, j.Inbox().Run(ctx, jitney.InboxKey{Subscriber: "s", Business: "order 7", Fingerprint: "f"}, func(context.Context) error { return nil }))
	require.NoError(t, j.Schedule(ctx, jitney.Scheduled{ID: goldenID(7), At: goldenEnvelope(7).Time, Envelope: goldenEnvelope(7)}))
	require.NoError(t, j.Checkpoints().Save(ctx, "repair", goldenAfter))
	require.NoError(t, j.Close(ctx))

	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Dir(golden), 0o755))
	f, err := os.Create(golden)
	require.NoError(t, err)
	z, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	require.NoError(t, err)
	_, err = z.Write(text)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	require.NoError(t, f.Close())
}

// unpack writes the golden journal to path.
func unpack(t *testing.T, path string) {
	f, err := os.Open(golden)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	text, err := io.ReadAll(z)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, text, 0o600))
}

func TestG31OlderJournalsOpen(t *testing.T) {
	if *update {
		makeGolden(t, filepath.Join(t.TempDir(), "new.db"))
	}
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "journal.db")
	unpack(t, path)
	j, err := sqlite.Open(ctx, path, keptTypes(), sqljournal.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)

	var held jitney.Held
	c, err := j.Open(ctx, jitney.Durable{Name: "s", Window: 10, Held: func(h jitney.Held) { held = h }})
	require.NoError(t, err)
	var entries []jitney.Entry
	for len(entries) < 3 {
		more, _, err := c.Next(ctx, 10)
		require.NoError(t, err)
		entries = append(entries, more...)
	}
	assert.Equal(t, goldenHold, held)
	for i, n := range []int{2, 4, 6} {
		e := entries[i]
		require.NoError(t, e.Err)
		assert.EqualValues(t, n, e.Position)
		same(t, goldenEnvelope(n), e.Envelope)
	}
	assert.Equal(t, &goldenWait, entries[0].Progress)
	require.NoError(t, c.Close(ctx))

	letter, err := j.DeadLetters().Get(ctx, goldenID(20))
	require.NoError(t, err)
	same(t, goldenEnvelope(3), letter.Envelope)
	same(t, goldenEnvelope(4), letter.Original)
	assert.Equal(t, []jitney.Attempt{goldenWait.Last}, letter.History)
	assert.Equal(t, []any{"s", jitney.ReasonExhausted, 5, 1}, []any{letter.Subscriber, letter.Reason, letter.Attempts, letter.Redeliveries})

	for _, key := range []jitney.InboxKey{{Subscriber: "s", Event: goldenID(5)}, {Subscriber: "s", Business: "order 7", Fingerprint: "f"}} {
		require.ErrorIs(t, j.Inbox().Run(ctx, key, func(context.Context) error { return nil }), jitney.ErrDuplicate)
	}
	list, err := j.Scheduled(ctx, 10)
	require.NoError(t, err)
	require.Len(t, list, 1)
	same(t, goldenEnvelope(7), list[0].Envelope)
	at, found, err := j.Checkpoints().Load(ctx, "repair")
	require.NoError(t, err)
	assert.True(t, found)
	assert.Equal(t, goldenAfter, at)
	require.NoError(t, j.Append(ctx, goldenEnvelope(6)), "it is known by its ID")
	end, err := j.End(ctx)
	require.NoError(t, err)
	assert.EqualValues(t, 6, end)
	require.NoError(t, j.Append(ctx, goldenEnvelope(8)))
	require.NoError(t, j.Close(ctx))
}

func same(t *testing.T, want, got *jitney.Envelope) {
	t.Helper()
	require.NotNil(t, got)
	assert.True(t, want.Time.Equal(got.Time), "%v, expected %v", got.Time, want.Time)
	w, g := *want, *got
	w.Time, g.Time = time.Time{}, time.Time{}
	assert.Equal(t, w, g)
}
