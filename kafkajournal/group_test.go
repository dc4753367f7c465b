package kafkajournal_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/kafkajournal"
	"github.com/jitney-go/jitney/wire"
)

// counted is the n-th event of its key.
type counted struct {
	Key string
	N   int
}

func (counted) EventType() string  { return "kafka.counted" }
func (e counted) EventKey() string { return e.Key }

func types() *wire.Types {
	ts := wire.NewTypes()
	wire.Register[counted](ts)
	return ts
}

func envelope(e jitney.Event) *jitney.Envelope {
	env := &jitney.Envelope{ID: uuid.Must(uuid.NewV7()), Type: e.EventType(), Version: 1, Time: time.Now(), Event: e}
	if k, ok := e.(interface{ EventKey() string }); ok {
		env.Key = k.EventKey()
	}
	return env
}

// witness looks at what all members of a group do.
type witness struct {
	mu      sync.Mutex
	handled map[string]int   // of a key, in order
	running map[string]int64 // a key's handler, by its position
	places  map[int64]bool   // handled
	last    map[int32]int64  // of a partition, the offset committed last
	again   int              // handled more than once
	wrong   []error
	newest  time.Time     // when an event was handled last
	longest time.Duration // without one that was handled
	changed chan struct{}
}

func newWitness() *witness {
	return &witness{
		handled: make(map[string]int), running: make(map[string]int64), places: make(map[int64]bool), last: make(map[int32]int64),
		changed: make(chan struct{}),
	}
}

func (w *witness) enter(e counted, position int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if other, busy := w.running[e.Key]; busy {
		w.wrong = append(w.wrong, fmt.Errorf("%v at %d begins while %d runs", e, position, other))
	}
	if next := w.handled[e.Key] + 1; e.N > next {
		w.wrong = append(w.wrong, fmt.Errorf("%v comes when %d is due", e, next))
	}
	w.running[e.Key] = position
}

func (w *witness) leave(e counted, position int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.running, e.Key)
	if e.N <= w.handled[e.Key] {
		w.again++
	}
	w.handled[e.Key] = max(w.handled[e.Key], e.N)
	w.places[position] = true
	if now := time.Now(); w.newest.IsZero() {
		w.newest = now
	} else {
		w.longest, w.newest = max(w.longest, now.Sub(w.newest)), now
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

// count is how many events have been handled.
func (w *witness) count() (n int, changed chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.places), w.changed
}

func (w *witness) await(t *testing.T, n int) {
	t.Helper()
	late := time.After(60 * time.Second)
	for {
		have, changed := w.count()
		if have >= n {
			return
		}
		select {
		case <-changed:
		case <-late:
			require.FailNowf(t, "too few", "%d of %d handled", have, n)
		}
	}
}

// commits looks at what is committed: nothing that was not handled.
func (w *witness) commits(g *kfake.GroupInfo, topic string) {
	if g == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for p, c := range g.Commits[topic] {
		for offset := w.last[p]; offset < c.Offset; offset++ {
			if !w.places[int64(p)<<48|(offset+1)] {
				w.wrong = append(w.wrong, fmt.Errorf("partition %d: %d is committed, and %d was not handled", p, c.Offset, offset))
			}
		}
		w.last[p] = max(w.last[p], c.Offset)
	}
}

// member is a process with the subscriber open, and does with entries what a bus does.
type member struct {
	p      *process
	w      *witness
	cursor jitney.Cursor
	stop   context.CancelFunc
	ended  chan struct{}

	mu      sync.Mutex
	tasks   map[int64]*task
	late    map[int64]bool     // recalled before they were taken, of what Next has returned last
	keys    map[string][]*task // in line
	workers sync.WaitGroup
}

type task struct {
	jitney.Entry
	running, dropped bool
	done             chan struct{}
}

func join(t *testing.T, brokers []string, topic string, w *witness) *member {
	t.Helper()
	p, err := begin(t.Context(), brokers, types(), kafkajournal.WithTopic(topic))
	require.NoError(t, err)
	m := &member{p: p, w: w, ended: make(chan struct{}), tasks: make(map[int64]*task), keys: make(map[string][]*task)}
	m.cursor, err = p.Open(t.Context(), jitney.Durable{Name: "s", From: jitney.FromBeginning(), Window: 64, Recall: m.recall})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	go m.run(ctx)
	return m
}

func (m *member) run(ctx context.Context) {
	defer close(m.ended)
	for {
		m.mu.Lock()
		m.late = make(map[int64]bool)
		m.mu.Unlock()
		entries, _, err := m.cursor.Next(ctx, 16)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			continue // worth another call
		}
		for _, e := range entries {
			m.take(&task{Entry: e, done: make(chan struct{})})
		}
	}
}

// take puts a task into its key's line.
func (m *member) take(k *task) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.late[k.Position] {
		return
	}
	m.tasks[k.Position] = k
	key := k.Envelope.Key
	m.keys[key] = append(m.keys[key], k)
	if len(m.keys[key]) == 1 {
		m.workers.Go(func() { m.work(key) })
	}
}

// work handles a key's tasks until there are none.
func (m *member) work(key string) {
	for {
		m.mu.Lock()
		if len(m.keys[key]) == 0 {
			m.mu.Unlock()
			return
		}
		k := m.keys[key][0]
		k.running = !k.dropped
		m.mu.Unlock()
		if k.running {
			m.w.enter(k.Envelope.Event.(counted), k.Position)
			pause()
			m.w.leave(k.Envelope.Event.(counted), k.Position)
			m.cursor.Settle(k.Position, jitney.Settled)
		}
		m.mu.Lock()
		m.keys[key] = m.keys[key][1:]
		if m.tasks[k.Position] == k {
			delete(m.tasks, k.Position)
		}
		close(k.done)
		m.mu.Unlock()
	}
}

// pause is what a handler's work takes.
func pause() { time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond) }

// recall drops what has not begun, and waits for what runs.
func (m *member) recall(ctx context.Context, positions ...int64) error {
	m.mu.Lock()
	var running []*task
	for _, at := range positions {
		k := m.tasks[at]
		if k == nil {
			m.late[at] = true
			continue
		}
		k.dropped = true
		if k.running {
			running = append(running, k)
		}
	}
	m.mu.Unlock()
	for _, k := range running {
		select {
		case <-k.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// halt ends the handlers: no other begins.
func (m *member) halt() {
	m.stop()
	<-m.ended
	m.mu.Lock()
	for _, k := range m.tasks {
		k.dropped = true
	}
	m.mu.Unlock()
	m.workers.Wait()
}

// leave ends the process as it should.
func (m *member) leave(ctx context.Context) error {
	m.halt()
	return errors.Join(m.cursor.Close(ctx), m.p.Close(ctx))
}

// die ends it otherwise.
func (m *member) die() {
	m.stop()
	m.p.cut(true)
	m.halt()
	m.p.kill()
}

func TestNothingIsLostWhileMembersComeAndGo(t *testing.T) {
	for _, deaths := range []bool{false, true} {
		t.Run(fmt.Sprintf("deaths %v", deaths), func(t *testing.T) { storm(t, deaths, 6, 1200) })
	}
}

// storm has members of a group come and go while events are published.
func storm(t *testing.T, deaths bool, rounds, events int) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	cluster := fake(t)
	brokers, topic := cluster.ListenAddrs(), topic()
	publisher, err := begin(t.Context(), brokers, types(), kafkajournal.WithTopic(topic), kafkajournal.WithPartitions(6))
	require.NoError(t, err)
	w := newWitness()
	members := []*member{join(t, brokers, topic, w)}
	leave := func(m *member) {
		err := m.leave(t.Context())
		if deaths && (errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.IllegalGeneration) || errors.Is(err, kerr.RebalanceInProgress)) {
			t.Logf("a member could not store what it had settled last: %v", err) // it comes again
			return
		}
		require.NoError(t, err)
	}
	published := make(chan error, 1)
	go func() {
		for n := range events {
			e := counted{Key: fmt.Sprintf("key %d", n%40), N: n/40 + 1}
			if err := publisher.Append(t.Context(), envelope(e)); err != nil {
				published <- err
				return
			}
		}
		published <- nil
	}()
	for round := range rounds {
		switch n := len(members); {
		case n < 2 || n < 4 && r.IntN(2) == 0:
			members = append(members, join(t, brokers, topic, w))
		default:
			i := r.IntN(n)
			m := members[i]
			members = append(members[:i], members[i+1:]...)
			if deaths && r.IntN(2) == 0 {
				m.die()
			} else {
				leave(m)
			}
		}
		w.await(t, (round+1)*events/(rounds+1))
		w.commits(cluster.GroupInfo(topic+".s"), topic)
	}
	require.NoError(t, <-published)
	w.await(t, events)
	for _, m := range members {
		leave(m)
	}
	w.commits(cluster.GroupInfo(topic+".s"), topic)
	require.NoError(t, errors.Join(w.wrong...))
	for key, n := range w.handled {
		require.Equal(t, events/40, n, key)
	}
	if !deaths {
		require.Zero(t, w.again, "handled again although nobody died")
	}
	t.Logf("%d acknowledged, %d handled, %d handled again, %v without one at the longest, with a lease of 2s",
		events, len(w.places), w.again, w.longest.Round(time.Millisecond))
	require.NoError(t, publisher.Close(t.Context()))
}
