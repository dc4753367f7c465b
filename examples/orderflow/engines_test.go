package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/natsjournal/embedded"
)

// begin lets the first n invoices in, and stops before the rest has come.
func begin(t *testing.T, journal, books string, n int) {
	in, err := read(config{}, nil, io.Discard)
	require.NoError(t, err)
	in.invoices = in.invoices[:n]
	s, err := openStore(t.Context(), journal, books, io.Discard)
	require.NoError(t, err)
	f := newFlow(config{seed: defaultSeed}, s, io.Discard)
	require.NoError(t, f.send(t.Context(), in))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	require.NoError(t, f.Bus.Shutdown(ctx))
	require.NoError(t, s.end(ctx, false))
}

func TestARunOnKafkaGoesOnAfterARestart(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3))
	require.NoError(t, err)
	defer cluster.Close()
	restart(t, "kafka://"+strings.Join(cluster.ListenAddrs(), ","))
}

func TestARunOnANATSServerGoesOnAfterARestart(t *testing.T) {
	s, err := embedded.Start(t.Context(), t.TempDir(), embedded.WithPort(0))
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Stop()) }()
	restart(t, s.URL())
}

func TestARunOnRealBrokersGoesOnAfterARestart(t *testing.T) {
	brokers := os.Getenv("JITNEY_KAFKA")
	if brokers == "" {
		t.Skip("left out: JITNEY_KAFKA names no broker")
	}
	addresses := strings.Split(brokers, ",")
	client, err := kgo.NewClient(kgo.SeedBrokers(addresses...))
	require.NoError(t, err)
	defer client.Close()
	_, err = kadm.NewClient(client).DeleteTopics(t.Context(), topic, topic+".places") // of a run before
	require.NoError(t, err)
	restart(t, "kafka://"+brokers)
}

// restart compares two runs, each with a part of the invoices, with a single one in memory.
func restart(t *testing.T, journal string) {
	want := playJSON(t)
	books := "sqlite:" + filepath.Join(t.TempDir(), "books.db")
	begin(t, journal, books, 20)
	got := playJSON(t, "-journal", journal, "-books", books)
	sameBooks(t, want, got)
	assert.Positive(t, got.DuplicatesSkipped, "the first invoices came in twice")
}

// A run is killed when some payments are settled and others not. The brokers live on: they are in this process.
func TestARunOnKafkaThatIsKilledGoesOn(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3))
	require.NoError(t, err)
	defer cluster.Close()
	settled := func() (n int64) {
		if g := cluster.GroupInfo(topic + ".payments"); g != nil {
			for _, c := range g.Commits[topic] {
				n += c.Offset
			}
		}
		return n
	}
	program := build(t)
	args := []string{"-journal", "kafka://" + strings.Join(cluster.ListenAddrs(), ","), "-books", file(t, "books.db"), "-json"}
	for range 2 {
		before := settled()
		cmd := exec.Command(program, args...)
		require.NoError(t, cmd.Start())
		assert.Eventually(t, func() bool { return settled() > before }, time.Minute, time.Millisecond)
		require.NoError(t, cmd.Process.Kill(), "it has ended before")
		require.Error(t, cmd.Wait())
	}
	got := execute(t, program, args...)
	t.Logf("killed twice, %d deliveries at last, %d of them known already", got.Deliveries, got.DuplicatesSkipped)
	sameBooks(t, playJSON(t), got)
}

func TestBooksThatCannotBeAreOneClearSentence(t *testing.T) {
	for _, args := range [][]string{
		{"-books", "sqlite:books.db"},
		{"-journal", inMemory, "-books", "sqlite:books.db"},
		{"-journal", inProcess, "-books", "nats://localhost"},
	} {
		status, out, errs := play(t, t.Context(), "", args...)
		assert.Equal(t, exitBadUsage, status, args)
		assert.Empty(t, out)
		assert.Contains(t, errs, "-books")
	}
}

// The outbox is what makes a handler that runs again tell nothing twice.
func TestWhatAHandlerPublishesIsUndoneWithIt(t *testing.T) {
	s, err := openStore(t.Context(), inProcess, "", io.Discard)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.end(context.WithoutCancel(t.Context()), true)) }()
	f := newFlow(config{seed: defaultSeed}, s, io.Discard)
	in, err := read(config{}, nil, io.Discard)
	require.NoError(t, err)
	before, err := s.ends(t.Context())
	require.NoError(t, err)
	err = s.books.Inbox().Run(t.Context(), jitney.InboxKey{Subscriber: "s", Business: "k"}, func(ctx context.Context) error {
		require.NoError(t, f.Publish(ctx, in.invoices[0]))
		return io.ErrUnexpectedEOF
	})
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.NoError(t, f.flush(t.Context()))
	after, err := s.ends(t.Context())
	require.NoError(t, err)
	assert.Equal(t, before, after)
	require.NoError(t, f.Bus.Shutdown(t.Context()))
}
