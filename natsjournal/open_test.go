package natsjournal_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/natsjournal"
	"github.com/jitney-go/jitney/natsjournal/internal/natstest"
	"github.com/jitney-go/jitney/wire"
)

func TestG18SettingsThatLoseEventsAreRefusedByName(t *testing.T) {
	p := natstest.Embedded(t)
	nc, err := p.Connect()
	require.NoError(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	for want, config := range map[string]jetstream.StreamConfig{
		"storage":           {Storage: jetstream.MemoryStorage},
		"retention":         {Retention: jetstream.InterestPolicy},
		"discard old":       {MaxBytes: 1 << 20},
		"allow_rollup_hdrs": {AllowRollup: true},
		"no_ack":            {NoAck: true},
		"persist_mode":      {PersistMode: jetstream.AsyncPersistMode},
		"sources":           {Sources: []*jetstream.StreamSource{{Name: "ELSEWHERE"}}},
	} {
		t.Run(want, func(t *testing.T) {
			config.Name, config.Subjects = "TEST", []string{"TEST.event.>"}
			_, err := js.CreateStream(t.Context(), config)
			require.NoError(t, err)
			defer func() { require.NoError(t, js.DeleteStream(t.Context(), "TEST")) }()
			_, err = p.Open(types())
			require.ErrorIs(t, err, jitney.ErrNotDurable)
			require.ErrorContains(t, err, want)
			if config.PersistMode == jetstream.DefaultPersistMode { // that one has no atomic batches, either
				j, err := p.Open(types(), natsjournal.AllowNotDurable())
				require.NoError(t, err)
				require.NoError(t, j.Close())
			}
		})
	}
	_, err = natsjournal.Open(t.Context(), nc, types(), natsjournal.WithName("UNTOLD"))
	require.ErrorIs(t, err, jitney.ErrNotDurable, "nobody has said whether the server syncs")
	require.ErrorContains(t, err, "WithServerSync")
	_, err = natsjournal.Open(t.Context(), nc, types(), natsjournal.WithReplicas(3))
	require.Error(t, err, "there is but one server")
}

func TestWhatOpenRefuses(t *testing.T) {
	p := natstest.Embedded(t)
	nc, err := p.Connect()
	require.NoError(t, err)
	defer nc.Close()
	gap := wire.NewTypes()
	wire.Upcast(gap, "unheard.of", 1, func(old jsonText) (jsonText, error) { return old, nil })
	for _, c := range []struct {
		want  string
		types *wire.Types
		opt   natsjournal.Option
	}{
		{"types is nil", nil, natsjournal.WithServerSync()},
		{"unheard.of", gap, natsjournal.WithServerSync()},
		{`name "a.b"`, types(), natsjournal.WithName("a.b")},
		{"a lease of", types(), natsjournal.WithLease(0)},
		{"a lease of", types(), natsjournal.WithInboxAge(time.Second)},
	} {
		_, err := natsjournal.Open(t.Context(), nc, c.types, c.opt)
		require.ErrorContains(t, err, c.want)
	}
	_, err = natsjournal.Open(t.Context(), nil, types())
	require.ErrorContains(t, err, "connection is nil")
	_, err = natsjournal.Connect(t.Context(), "nats://127.0.0.1:1", types())
	require.ErrorContains(t, err, "connect")

	js, err := jetstream.New(nc)
	require.NoError(t, err)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"other"}})
	require.NoError(t, err)
	_, err = natsjournal.Open(t.Context(), nc, types(), natsjournal.WithName("OTHER"))
	require.ErrorContains(t, err, "OTHER.event.>")
}

func TestG31ANewerFormatIsLeftAlone(t *testing.T) {
	p := natstest.Embedded(t)
	j := open(t, p)
	p.Put(t, "s.place", `{"format":99,"floor":0}`)
	c, err := j.Open(t.Context(), jitney.Durable{Name: "s"})
	require.NoError(t, err)
	_, _, err = c.Next(t.Context(), 1)
	require.ErrorContains(t, err, "format 99")
	require.NoError(t, c.Close(t.Context()))
	p.Put(t, "s.place", `{"format":1,"floor":7,"clean":true}`)
	c, err = j.Open(t.Context(), jitney.Durable{Name: "s"})
	require.NoError(t, err)
	_, _, err = c.Next(t.Context(), 1)
	require.ErrorIs(t, err, natsjournal.ErrPositionAhead)
	require.NoError(t, c.Close(t.Context()))
	p.Put(t, "s.place", `{`)
	_, err = j.Places(t.Context())
	require.ErrorIs(t, err, natsjournal.ErrCorrupt)
}

// As a rehearsal refuses them: a program that asks for errors.ErrUnsupported finds it on either.
func TestNoBatchesIsUnsupported(t *testing.T) {
	require.ErrorIs(t, natsjournal.ErrNoBatches, errors.ErrUnsupported)
	require.NotErrorIs(t, natsjournal.ErrFull, errors.ErrUnsupported)
}

func TestAnOldServerHasNoBatches(t *testing.T) {
	p := natstest.Real(t)
	if p.Batchless == "" {
		t.Skip("left out: the server has atomic batches")
	}
	j := open(t, p)
	err := j.Append(t.Context(), sealed(number(1)), sealed(number(2)))
	require.ErrorIs(t, err, natsjournal.ErrNoBatches)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.NotErrorIs(t, err, jitney.ErrIndeterminate)
	end, err := j.End(t.Context())
	require.NoError(t, err)
	require.Zero(t, end)
	env := sealed(number(3))
	require.NoError(t, j.Append(t.Context(), env, env), "they are one")
}

func TestAClosedJournalRefuses(t *testing.T) {
	p := natstest.Embedded(t)
	j := open(t, p)
	require.NoError(t, j.Journal.Close(t.Context()))
	require.NoError(t, j.Journal.Close(t.Context()))
	require.ErrorIs(t, j.Append(t.Context(), sealed(number(1))), natsjournal.ErrClosed)
	_, err := j.Open(t.Context(), jitney.Durable{Name: "s"})
	require.ErrorIs(t, err, natsjournal.ErrClosed)
}
