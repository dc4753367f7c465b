package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/examples/orderflow/tally"
	"github.com/jitney-go/jitney/kafkajournal"
	"github.com/jitney-go/jitney/wire"
)

// booked is an event whose effect is to be in the books once.
type booked struct{ Customer, N int }

func (booked) EventType() string  { return "test.booked" }
func (e booked) EventKey() string { return fmt.Sprint(e.Customer) }

// member is a process of a group: its events are on Kafka, its inbox and its effects in the books.
type member struct {
	bus     *jitney.Bus
	sub     *jitney.Subscription
	journal *kafkajournal.Journal
	dying   atomic.Bool
	died    chan struct{}
	caught  chan struct{} // holds something when a handler is in its transaction at the death

	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

var errDied = errors.New("its process has died")

func join(t *testing.T, brokers []string, inbox jitney.Inbox, effects tally.Sums) *member {
	t.Helper()
	types := wire.NewTypes()
	wire.Register[booked](types)
	m := &member{died: make(chan struct{}), caught: make(chan struct{}, 1)}
	var err error
	m.journal, err = kafkajournal.Open(t.Context(), brokers, types, kafkajournal.WithTopic(topic), kafkajournal.WithPartitions(4),
		kafkajournal.WithLease(2*time.Second), kafkajournal.WithLogger(quiet), kafkajournal.WithClient(kgo.Dialer(m.dial)))
	require.NoError(t, err)
	m.bus = jitney.New(jitney.WithJournal(m.journal), jitney.WithLogger(quiet))
	m.sub = jitney.Subscribe(m.bus, "books", func(ctx context.Context, e booked) error {
		_, err := effects.Add(ctx, fmt.Sprint(e.Customer, " ", e.N), 1)
		time.Sleep(time.Millisecond) // its work
		if err == nil && m.dying.Load() {
			select {
			case m.caught <- struct{}{}:
			default:
			}
			<-m.died
			return errDied // the database undoes what has not been committed
		}
		return err
	}, jitney.WithStart(jitney.FromBeginning()), jitney.WithWorkers(4), jitney.WithBuffer(32), jitney.WithIdempotency(inbox))
	return m
}

func (m *member) dial(ctx context.Context, network, address string) (net.Conn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cut {
		return nil, errDied
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err == nil {
		m.conns = append(m.conns, conn)
	}
	return conn, err
}

// die cuts the member off from Kafka, lets it mark some deliveries that it cannot settle any more, and ends it in the
// middle of another's transaction. It returns how many it has marked.
func (m *member) die(t *testing.T) (marked uint64) {
	t.Helper()
	m.mu.Lock()
	m.cut = true
	for _, conn := range m.conns {
		_ = conn.Close()
	}
	m.mu.Unlock()
	before := m.sub.Stats().Handled
	require.Eventually(t, func() bool { return m.sub.Stats().Handled >= before+3 }, 20*time.Second, time.Millisecond)
	m.dying.Store(true)
	select {
	case <-m.caught:
	case <-time.After(20 * time.Second):
		require.FailNow(t, "no handler was running at the death")
	}
	marked = m.sub.Stats().Handled - before
	close(m.died)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_ = errors.Join(m.bus.Shutdown(ctx), m.journal.Close(ctx)) // it is dead
	return marked
}

func (m *member) leave(ctx context.Context) error {
	return errors.Join(m.bus.Shutdown(ctx), m.journal.Close(ctx))
}

func TestG24EffectsHappenOnceThoughMembersOfAGroupOnKafkaDie(t *testing.T) {
	const customers, deaths = 60, 3
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.GroupMinSessionTimeout(100*time.Millisecond))
	require.NoError(t, err)
	defer cluster.Close()
	brokers := cluster.ListenAddrs()
	books, sums, err := openDatabase(ctx, "sqlite:"+filepath.Join(t.TempDir(), "books.db"))
	require.NoError(t, err)
	defer func() { require.NoError(t, books.Close(context.WithoutCancel(ctx))) }()
	effects := sums.Of("effects")

	members := []*member{join(t, brokers, books.Inbox(), effects)}
	orders := 0
	order := func() { // one of each customer
		var events []jitney.Event
		for c := range customers {
			events = append(events, booked{c, orders})
		}
		orders++
		require.NoError(t, members[len(members)-1].bus.Publish(ctx, events...))
	}
	var marked, absorbed uint64
	for range deaths {
		members = append(members, join(t, brokers, books.Inbox(), effects))
		dying := members[0]
		looks := 0
		require.Eventually(t, func() bool { // or else it has no partition yet, or its share is handled already
			if looks++; looks%100 == 1 {
				order()
			}
			return dying.sub.Stats().Queued >= 12
		}, time.Minute, 2*time.Millisecond)
		members = members[1:]
		marked += dying.die(t)
		absorbed += dying.sub.Stats().Duplicates
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	require.NoError(t, err)
	defer client.Close()
	done := noLag(kadm.NewClient(client))
	require.Eventually(t, func() bool {
		all, err := done(ctx)
		return err == nil && all
	}, time.Minute, 20*time.Millisecond)
	for _, m := range members {
		require.NoError(t, m.leave(ctx))
		absorbed += m.sub.Stats().Duplicates
	}
	got, err := effects.All(ctx)
	require.NoError(t, err)
	assert.Len(t, got, customers*orders, "none is lost")
	for name, times := range got {
		assert.EqualValues(t, 1, times, name)
	}
	assert.GreaterOrEqual(t, absorbed, marked)
	t.Logf("%d acknowledged, %d deaths, %d effects, %d deliveries absorbed by the inbox, %d of them marked and not settled at a death",
		customers*orders, deaths, len(got), absorbed, marked)
}
