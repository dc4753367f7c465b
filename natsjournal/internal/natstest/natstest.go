// Package natstest has what the tests of a journal have in common, whichever server it is on.
package natstest

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/natsjournal"
	"github.com/jitney-go/jitney/natsjournal/embedded"
	"github.com/jitney-go/jitney/wire"
)

// Lease is the one of the tests' journals: a process that has died is replaced after it.
const Lease = 2 * time.Second

// Patience is how long something may take that is to happen.
const Patience = 20 * time.Second

// Env is the variable that says where the real server is.
const Env = "JITNEY_NATS"

// Place is where tests keep journals.
type Place struct {
	// Connect makes a connection to the server.
	Connect func() (*nats.Conn, error)
	// Name is the name of the test's own stream.
	Name string
	// Batchless says why the server has no atomic batches; "" if it has.
	Batchless string
}

// Embedded returns a place on a server that ends with the test.
func Embedded(t testing.TB) *Place {
	s, err := embedded.Start(t.Context(), t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop()) })
	return &Place{Connect: func() (*nats.Conn, error) { return s.Connect() }, Name: "TEST"}
}

// server is where the real server is, and its version. Without one it skips the test.
func server(t testing.TB) (url, version string) {
	url = os.Getenv(Env)
	if url == "" {
		url = nats.DefaultURL
	}
	nc, err := nats.Connect(url, nats.Timeout(5*time.Second))
	if err != nil {
		t.Skipf("needs a NATS server with JetStream, see %s: %v", Env, err)
	}
	defer nc.Close()
	return url, nc.ConnectedServerVersion()
}

// Real returns a place on the real server, with a stream that is removed at the end.
func Real(t testing.TB) *Place {
	url, version := server(t)
	p := &Place{
		Connect: func() (*nats.Conn, error) { return nats.Connect(url, natsjournal.ConnOptions()...) },
		Name:    fmt.Sprintf("TEST%08x", rand.Uint32()),
	}
	var major, minor int
	_, err := fmt.Sscanf(version, "%d.%d", &major, &minor)
	require.NoError(t, err)
	if major == 2 && minor < 12 {
		p.Batchless = "server " + version + " has no atomic batches"
	}
	t.Cleanup(func() { p.clear(t) })
	return p
}

func (p *Place) clear(t testing.TB) {
	nc, err := p.Connect()
	require.NoError(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	for _, stream := range []string{p.Name, "KV_" + p.Name + "_places", "KV_" + p.Name + "_inbox", "KV_" + p.Name + "_letters"} {
		if err := js.DeleteStream(context.Background(), stream); err != nil {
			require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
		}
	}
}

// Process is a journal with a connection of its own, as another process has it.
type Process struct {
	*natsjournal.Journal
	Conn *nats.Conn
}

// Open opens the journal.
func (p *Place) Open(types *wire.Types, opts ...natsjournal.Option) (*Process, error) {
	nc, err := p.Connect()
	if err != nil {
		return nil, err
	}
	opts = append([]natsjournal.Option{natsjournal.WithName(p.Name), natsjournal.WithLease(Lease), natsjournal.WithServerSync(),
		natsjournal.WithLogger(slog.New(slog.DiscardHandler))}, opts...)
	j, err := natsjournal.Open(context.Background(), nc, types, opts...)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return &Process{j, nc}, nil
}

// Close ends the process as it should.
func (p *Process) Close() error {
	defer p.Conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return p.Journal.Close(ctx)
}

// Kill ends the process so that nothing of what it has not written is written any more.
func (p *Process) Kill() {
	p.Conn.Close()
	_ = p.Journal.Close(context.Background())
}

// Store is a jitneytest.JournalStore.
type Store struct {
	*Place
	open *Process
}

// Open implements jitneytest.JournalStore.
func (s *Store) Open(types *wire.Types) (_ jitney.Journal, err error) {
	if s.open, err = s.Place.Open(types); err != nil {
		return nil, err
	}
	return s.open, nil
}

// WithoutBatches implements jitneytest.Batchless.
func (s *Store) WithoutBatches() string { return s.Batchless }

// Close implements jitneytest.JournalStore.
func (s *Store) Close(clean bool) error {
	if clean {
		return s.open.Close()
	}
	s.open.Kill()
	return nil
}

// Enlarge sets another limit to how large the stream may become, as an operator does.
func (p *Place) Enlarge(t testing.TB, size int64) {
	nc, err := p.Connect()
	require.NoError(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	s, err := js.Stream(t.Context(), p.Name)
	require.NoError(t, err)
	config := s.CachedInfo().Config
	config.MaxBytes = size
	_, err = js.UpdateStream(t.Context(), config)
	require.NoError(t, err)
}

// places calls f with the bucket of the places.
func (p *Place) places(t testing.TB, f func(kv jetstream.KeyValue)) {
	nc, err := p.Connect()
	require.NoError(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	kv, err := js.KeyValue(t.Context(), p.Name+"_places")
	require.NoError(t, err)
	f(kv)
}

// Put writes a key beside the places.
func (p *Place) Put(t testing.TB, key, value string) {
	p.places(t, func(kv jetstream.KeyValue) {
		_, err := kv.PutString(t.Context(), key, value)
		require.NoError(t, err)
	})
}

// Keys returns the keys that there are beside the places, and marks of those that are gone.
func (p *Place) Keys(t testing.TB) (keys []string) {
	p.places(t, func(kv jetstream.KeyValue) {
		w, err := kv.WatchAll(t.Context())
		require.NoError(t, err)
		for e := range w.Updates() {
			if e == nil {
				break
			}
			keys = append(keys, e.Key())
		}
		require.NoError(t, w.Stop())
	})
	return keys
}

// Purge removes the events before a position, as an operator does, or an age limit.
func (p *Place) Purge(t testing.TB, before uint64) {
	nc, err := p.Connect()
	require.NoError(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	s, err := js.Stream(t.Context(), p.Name)
	require.NoError(t, err)
	require.NoError(t, s.Purge(t.Context(), jetstream.WithPurgeSequence(before)))
}
