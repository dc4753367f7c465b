package kafkajournal_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/jitneytest"
	"github.com/jitney-go/jitney/kafkajournal"
	"github.com/jitney-go/jitney/wire"
)

// quiet is for journals that are to say nothing.
var quiet = slog.New(slog.DiscardHandler)

// fake starts three brokers in this process.
func fake(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(3), kfake.GroupMinSessionTimeout(100 * time.Millisecond)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	return cluster
}

var topics atomic.Int64

// topic returns a name that no other test has.
func topic() string { return fmt.Sprintf("test-%d-%d", time.Now().UnixNano(), topics.Add(1)) }

// process is one that uses Kafka, and can die.
type process struct {
	*kafkajournal.Journal

	mu    sync.Mutex
	conns map[net.Conn]bool
	dead  bool
}

var errDead = errors.New("this process is dead")

func (p *process) dial(ctx context.Context, network, address string) (net.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return nil, errDead
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err == nil {
		p.conns[conn] = true
	}
	return conn, err
}

// cut closes all connections; if for good, no other is made.
func (p *process) cut(forGood bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead = forGood
	for conn := range p.conns {
		_ = conn.Close()
		delete(p.conns, conn)
	}
}

// kill ends the process without its saying so.
func (p *process) kill() {
	p.cut(true)
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_ = p.Close(ctx) // it has no connection
}

// begin starts a process.
func begin(ctx context.Context, brokers []string, types *wire.Types, opts ...kafkajournal.Option) (p *process, err error) {
	p = &process{conns: make(map[net.Conn]bool)}
	opts = append([]kafkajournal.Option{
		kafkajournal.WithLogger(quiet), kafkajournal.WithLease(2 * time.Second), kafkajournal.WithHandover(10 * time.Second),
		kafkajournal.WithClient(kgo.Dialer(p.dial)),
	}, opts...)
	p.Journal, err = kafkajournal.Open(ctx, brokers, types, opts...)
	return p, err
}

// store is a topic, for the contract's laws.
type store struct {
	brokers []string
	opts    []kafkajournal.Option
	p       *process
}

func (s *store) Open(types *wire.Types) (jitney.Journal, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	p, err := begin(ctx, s.brokers, types, s.opts...)
	if err != nil {
		return nil, err
	}
	s.p = p
	return p, nil
}

func (s *store) Close(clean bool) error {
	if !clean {
		s.p.kill()
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return s.p.Close(ctx)
}

// newStore returns topics of their own.
func newStore(brokers []string, opts ...kafkajournal.Option) func(*testing.T) jitneytest.JournalStore {
	return func(*testing.T) jitneytest.JournalStore {
		return &store{brokers: brokers, opts: append([]kafkajournal.Option{kafkajournal.WithTopic(topic())}, opts...)}
	}
}

func TestAJournalOfOnePartitionKeepsTheContract(t *testing.T) {
	jitneytest.TestJournal(t, newStore(fake(t).ListenAddrs(), kafkajournal.WithPartitions(1)))
}

func TestAJournalOfSeveralPartitionsKeepsTheContract(t *testing.T) {
	jitneytest.TestJournal(t, newStore(fake(t).ListenAddrs(), kafkajournal.WithPartitions(5)), jitneytest.OrderPerKey())
}

func TestAJournalOnRealBrokersKeepsTheContract(t *testing.T) {
	brokers := os.Getenv("JITNEY_KAFKA")
	if brokers == "" {
		t.Skip("left out: JITNEY_KAFKA names no broker")
	}
	opts := []kafkajournal.Option{kafkajournal.WithPartitions(3), kafkajournal.WithLease(6 * time.Second)}
	jitneytest.TestJournal(t, newStore(strings.Split(brokers, ","), opts...), jitneytest.OrderPerKey())
}
