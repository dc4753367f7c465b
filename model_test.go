package jitney_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
)

var (
	rigSeed  = flag.Int64("jitney.seed", -1, "the model's only seed")
	rigSeeds = flag.Int64("jitney.seeds", 400, "how many seeds the model tries")
)

// rigOne and rigTwo are the model's events; both are of the family rigNumbered.
type rigOne struct {
	N   int
	Key string
}

type rigTwo struct {
	N   int
	Key string
}

type rigNumbered interface {
	jitney.Event
	number() int
}

func (rigOne) EventType() string  { return "rig.one" }
func (e rigOne) EventKey() string { return e.Key }
func (e rigOne) number() int      { return e.N }
func (rigTwo) EventType() string  { return "rig.two" }
func (e rigTwo) EventKey() string { return e.Key }
func (e rigTwo) number() int      { return e.N }

// rigID names a delivery: its subscriber, its event, and how often it has come back.
type rigID struct {
	sub      string
	n, round int
}

// rigModel is what must be true of the bus: maps and slices.
type rigModel struct {
	*testing.T
	seed    uint64
	rng     *rand.Rand
	bus     *jitney.Bus
	letters *jitney.MemoryDeadLetters
	ops     int

	mu       sync.Mutex
	events   int
	subs     []*rigSub
	accepted map[rigID]bool
	calls    map[rigID]int // attempts that the handler has ended
	begun    map[rigID]bool
	down     bool           // Shutdown has begun
	left     map[rigID]bool // named as unhandled
}

// rigSub is the model's idea of a subscription.
type rigSub struct {
	*jitney.Subscription
	name    string
	wants   [2]bool
	sync    bool
	policy  jitney.Overflow
	gone    bool
	strict  bool           // parks behind dead letters
	batch   int            // events in a batch; 0: its handler takes one
	dead    map[string]int // by key, if strict: the event whose letter holds the key back
	running map[string]bool
	lane    func(key string) string
	last    map[string]int // by lane: the latest event of the driver's that has begun
}

// What the model does with a delivery at an attempt.
const (
	rigOK = iota
	rigSkip
	rigPermanent
	rigError
	rigPanic
	rigGoexit
	rigRetryAfter
)

const rigAttempts = 3

// plan is what the handler does with a delivery at an attempt; nothing but the seed decides it.
func (m *rigModel) plan(id rigID, attempt int) int {
	h := fnv.New64a()
	fmt.Fprint(h, m.seed, id, attempt)
	x := h.Sum64() >> 20 % 20
	switch {
	case x < 12:
		return rigOK
	case x == 12:
		return rigSkip
	case x == 13:
		return rigPermanent
	case x < 17:
		return rigError
	}
	return rigPanic + int(x-17)
}

// whole returns how many attempts a delivery takes, and what the last one does.
func (m *rigModel) whole(id rigID) (attempts, last int) {
	for a := 1; ; a++ {
		if does := m.plan(id, a); does <= rigPermanent || a == rigAttempts {
			return a, does
		}
	}
}

func (m *rigModel) handler(s *rigSub) func(context.Context, rigNumbered) error {
	return func(ctx context.Context, e rigNumbered) error {
		d := jitney.FromContext(ctx)
		id := rigID{s.name, e.number(), d.Redeliveries}
		does := m.plan(id, d.Attempt)
		m.begin(s, id, d)
		cut := rigPause(ctx, time.Duration(id.n%4)*5*time.Millisecond)
		if does == rigOK && id.n%5 == 0 && d.Hops < 2 && d.Attempt == 1 && id.round == 0 && cut == nil {
			// A synchronous subscriber would lose its attempts to a context that ends.
			_ = m.publish(context.WithoutCancel(ctx), 1)
		}
		m.end(s, id, d, cut)
		if cut != nil {
			return cut
		}
		return rigDo(does, s.sync)
	}
}

// rigPause waits unless ctx ends.
func rigPause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func rigDo(does int, inPublisher bool) error {
	switch does {
	case rigOK:
		return nil
	case rigSkip:
		return jitney.Skip(errRig)
	case rigPermanent:
		return jitney.Permanent(errRig)
	case rigRetryAfter:
		return jitney.RetryAfter(30*time.Millisecond, errRig)
	case rigGoexit:
		if !inPublisher { // it would end the driver
			runtime.Goexit()
		}
	case rigPanic:
		panic(errRig)
	}
	return errRig
}

// begin checks the order and that a lane does one thing at a time.
func (m *rigModel) begin(s *rigSub, id rigID, d *jitney.Delivery) {
	m.mu.Lock()
	defer m.mu.Unlock()
	first := !m.begun[id]
	m.begun[id] = true
	if id.round > 0 {
		assert.True(m, m.stored(s.name, d), "seed %d: %v has lost its letter before it succeeded", m.seed, id)
	}
	if n, held := s.dead[d.Key]; held && s.strict {
		assert.True(m, (n == id.n || s.batch > 0) && id.round > 0, "seed %d: %v overtakes the letter of %d", m.seed, id, n)
	}
	lane := s.lane(d.Key)
	if !s.sync && s.batch == 0 {
		assert.False(m, s.running[lane], "seed %d: %v overlaps in its lane", m.seed, id)
		s.running[lane] = true
	}
	assert.Equal(m, m.calls[id]+1, d.Attempt, "seed %d: attempt of %v", m.seed, id)
	if first && id.round == 0 && d.Hops == 0 {
		assert.Greater(m, id.n, s.last[lane], "seed %d: order of %v", m.seed, id)
		s.last[lane] = id.n
	}
}

// stored reports whether the letter of a redelivery is still there.
func (m *rigModel) stored(sub string, d *jitney.Delivery) bool {
	letters, err := m.letters.List(context.Background(), jitney.DeadLetterFilter{Subscriber: sub})
	require.NoError(m, err)
	return slices.ContainsFunc(letters, func(l jitney.DeadLetter) bool { return l.Envelope.ID == d.ID })
}

func (m *rigModel) end(s *rigSub, id rigID, d *jitney.Delivery, cut error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.running[s.lane(d.Key)] = false
	if cut != nil {
		return
	}
	m.calls[id]++
	if attempts, last := m.whole(id); m.calls[id] == attempts {
		n, held := s.dead[d.Key]
		switch {
		case last > rigSkip && id.round == 0 && !held:
			s.dead[d.Key] = id.n
		case last <= rigSkip && held && n == id.n:
			delete(s.dead, d.Key)
		}
	}
}

// publish publishes n events, and writes down who has to have them.
func (m *rigModel) publish(ctx context.Context, n int) error {
	m.mu.Lock()
	var events []jitney.Event
	var hears [][]*rigSub
	first := m.events + 1
	for range n {
		m.events++
		two := m.events%3 == 0
		key := []string{"", "a", "b", "c"}[m.events%4]
		if two {
			events = append(events, rigTwo{m.events, key})
		} else {
			events = append(events, rigOne{m.events, key})
		}
		hears = append(hears, m.hearers(two))
	}
	m.mu.Unlock()
	err := m.bus.Publish(ctx, events...)
	if some := new(jitney.PublishError); err != nil && !errors.As(err, &some) {
		return err // nobody has any of them
	}
	refused := rigRefused(err)
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, subs := range hears {
		for _, s := range subs {
			id := rigID{s.name, first + i, 0}
			switch {
			case !s.sync:
				m.accepted[id] = !refused[id]
			case s.gone || m.down: // since this publish began
				m.accepted[id] = m.begun[id]
			default:
				m.accepted[id] = true
			}
		}
	}
	return err
}

func (m *rigModel) hearers(two bool) (subs []*rigSub) {
	for _, s := range m.subs {
		if !s.gone && (two && s.wants[1] || !two && s.wants[0]) {
			subs = append(subs, s)
		}
	}
	return subs
}

// rigRefused reads out of Publish's error who has not accepted what.
func rigRefused(err error) map[rigID]bool {
	refused := make(map[rigID]bool)
	var walk func(error)
	walk = func(err error) {
		switch e := err.(type) {
		case *jitney.PublishError:
			for _, name := range e.Subscribers() {
				refused[rigID{name, e.Envelope.Event.(rigNumbered).number(), 0}] = true
			}
		case interface{ Unwrap() []error }:
			for _, each := range e.Unwrap() {
				walk(each)
			}
		}
	}
	walk(err)
	return refused
}

func (m *rigModel) subscribe() {
	rng := m.rng
	s := &rigSub{
		name: fmt.Sprint("s", len(m.subs)), sync: rng.IntN(5) == 0, policy: jitney.Overflow(rng.IntN(3)),
		running: map[string]bool{}, last: map[string]int{}, lane: func(string) string { return "" },
		dead: map[string]int{}, strict: rng.IntN(3) == 0,
	}
	if !s.sync && rng.IntN(3) == 0 {
		s.batch = []int{1, 2, 5, 100}[rng.IntN(4)]
	}
	buffer, reserve := []int{1, 4, 1000}[rng.IntN(3)], []int{0, 2, 1000}[rng.IntN(3)]
	opts := []jitney.SubscribeOption{
		jitney.WithBuffer(buffer), jitney.WithReserve(reserve),
		jitney.WithOverflow(s.policy), jitney.WithDeadLetters(m.letters),
		jitney.WithRetry(jitney.Retry{Attempts: rigAttempts, Base: 10 * time.Millisecond}),
	}
	if workers := []int{0, 1, 3, 8}[rng.IntN(4)]; workers > 0 {
		opts = append(opts, jitney.WithWorkers(workers))
		s.lane = func(key string) string { return key }
	}
	if s.batch > 0 {
		opts = append(opts, jitney.WithBatch(s.batch, []time.Duration{0, 7 * time.Millisecond, time.Second}[rng.IntN(3)]))
	}
	switch {
	case s.batch > 0:
	case s.sync:
		opts = append(opts, jitney.WithSync())
		s.strict = false
	case rng.IntN(4) == 0:
		opts = append(opts, jitney.WithFairShare(jitney.FairShare{
			By: func(env *jitney.Envelope) string {
				return fmt.Sprint(env.Event.(rigNumbered).number() % 3 * len(env.Key))
			},
			Cost: func(env *jitney.Envelope) int { return env.Event.(rigNumbered).number() % 7 },
		}))
		s.lane = func(key string) string { return key }
	}
	if s.strict {
		opts = append(opts, jitney.WithParking([]int{1, 3, 1000}[rng.IntN(3)]))
		s.lane = func(key string) string { return key } // what is parked is overtaken by other keys
	}
	h := m.handler(s)
	switch kind := rng.IntN(3); {
	case s.batch > 0:
		s.wants = [2]bool{true, true}
		s.Subscription = jitney.SubscribeBatch(m.bus, s.name, m.batchHandler(s), opts...)
	case kind == 0:
		s.wants = [2]bool{true, false}
		s.Subscription = jitney.Subscribe(m.bus, s.name, func(ctx context.Context, e rigOne) error { return h(ctx, e) }, opts...)
	case kind == 1:
		s.wants = [2]bool{false, true}
		s.Subscription = jitney.Subscribe(m.bus, s.name, func(ctx context.Context, e rigTwo) error { return h(ctx, e) }, opts...)
	default:
		s.wants = [2]bool{true, true}
		s.Subscription = jitney.Subscribe(m.bus, s.name, h, opts...)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.subs = append(m.subs, s)
}

// step does one thing to the bus.
func (m *rigModel) step() {
	ctx := context.Background()
	switch x := m.rng.IntN(100); {
	case x < 55:
		_ = m.publish(ctx, 1+m.rng.IntN(3))
	case x < 62:
		m.subscribe()
	case x < 67:
		m.close()
	case x < 69:
		m.pause()
	case x < 72:
		m.discard(ctx)
	case x < 85:
		time.Sleep(time.Duration(m.rng.IntN(20)) * time.Millisecond)
	case x < 90:
		m.flush()
		for _, s := range m.bus.Subscriptions() {
			st := s.Stats()
			require.Zero(m, st.Queued+st.Running+st.Waiting, "seed %d: %s after Flush", m.seed, s.Name())
		}
	default:
		m.redeliver(ctx)
	}
}

// flush lets go what is paused, and what waits for room in a full parking, and waits for the rest.
func (m *rigModel) flush() {
	for _, s := range m.subs {
		s.Resume()
	}
	for round := 0; ; round++ {
		for _, s := range m.subs {
			st := s.Stats()
			require.False(m, round > 50 && !s.gone && st.Queued+st.Running+st.Waiting > 0, "seed %d: %s stands still: %+v", m.seed, s.name, st)
		}
		soon, cancel := context.WithTimeout(context.Background(), time.Minute)
		err := m.bus.Flush(soon)
		cancel()
		if err == nil {
			return
		}
		for _, s := range m.subs {
			if st := s.Stats(); st.Queued > 0 && !s.gone {
				require.NotEmpty(m, s.Parked(), "seed %d: %s stands still: %+v", m.seed, s.name, st)
				m.forget(s, s.Parked()[0].Letter)
			}
		}
	}
}

// pause pauses a subscription, or resumes it.
func (m *rigModel) pause() {
	s := m.subs[m.rng.IntN(len(m.subs))]
	if s.sync {
		return
	}
	if s.Stats().Paused {
		s.Resume()
	} else {
		s.Pause()
	}
}

// discard gives up a letter.
func (m *rigModel) discard(ctx context.Context) {
	letters, err := m.letters.List(ctx, jitney.DeadLetterFilter{})
	require.NoError(m, err)
	if len(letters) == 0 {
		return
	}
	l := letters[m.rng.IntN(len(letters))]
	s := m.named(l.Subscriber)
	if s.gone {
		assert.ErrorIs(m, m.bus.Discard(ctx, l), jitney.ErrNoSubscription)
		return
	}
	m.forget(s, l.ID)
}

func (m *rigModel) forget(s *rigSub, letter uuid.UUID) {
	l, err := m.letters.Get(context.Background(), letter)
	require.NoError(m, err)
	m.mu.Lock()
	if n, held := s.dead[l.Envelope.Key]; held && n == l.Envelope.Event.(rigNumbered).number() {
		delete(s.dead, l.Envelope.Key)
	}
	m.mu.Unlock()
	require.NoError(m, m.bus.Discard(context.Background(), l))
}

func (m *rigModel) named(name string) *rigSub {
	return m.subs[slices.IndexFunc(m.subs, func(s *rigSub) bool { return s.name == name })]
}

// close closes any subscription: patiently, or with a deadline that may be too early.
func (m *rigModel) close() {
	i := m.rng.IntN(len(m.subs))
	m.mu.Lock()
	s := m.subs[i]
	s.gone = true
	m.mu.Unlock()
	ctx, cancel := m.patience()
	defer cancel()
	m.unhandled(s.Close(ctx))
}

func (m *rigModel) patience() (context.Context, context.CancelFunc) {
	if m.rng.IntN(2) == 0 {
		return context.WithCancel(context.Background())
	}
	return context.WithTimeout(context.Background(), time.Duration(m.rng.IntN(15))*time.Millisecond+time.Microsecond)
}

// unhandled notes what Close or Shutdown has named.
func (m *rigModel) unhandled(err error) {
	var u *jitney.UnhandledError
	if !errors.As(err, &u) {
		require.NoError(m, err, "seed %d", m.seed)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range u.Unhandled {
		assert.False(m, d.Running, "seed %d: all handlers follow their context", m.seed)
		m.left[m.latest(d.Subscriber, d.Envelope.Event.(rigNumbered).number())] = true
	}
}

// latest is the last time that a delivery has been accepted. Called with mu held.
func (m *rigModel) latest(sub string, n int) rigID {
	id := rigID{sub, n, 0}
	for m.accepted[rigID{sub, n, id.round + 1}] {
		id.round++
	}
	return id
}

// redeliver picks a letter, and compares what becomes of it with the plan.
func (m *rigModel) redeliver(ctx context.Context) {
	letters, err := m.letters.List(ctx, jitney.DeadLetterFilter{})
	require.NoError(m, err)
	if len(letters) == 0 {
		return
	}
	l := letters[m.rng.IntN(len(letters))]
	s := m.named(l.Subscriber)
	s.Resume()
	before := s.Stats()
	id := rigID{l.Subscriber, l.Envelope.Event.(rigNumbered).number(), l.Redeliveries + 1}
	err = m.bus.Redeliver(ctx, l)
	if s.gone {
		assert.ErrorIs(m, err, jitney.ErrNoSubscription)
		return
	}
	if errors.Is(err, jitney.ErrQueueFull) {
		return
	}
	assert.Greater(m, s.Stats().Accepted, before.Accepted, "seed %d", m.seed)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.accepted[id] = true
	attempts, last := m.whole(id)
	if m.calls[id] < attempts {
		assert.Error(m, err, "seed %d: %v was dropped", m.seed, id)
		m.accepted[id] = false // its next round is this one again
		m.accepted[rigID{id.sub, id.n, -1 - m.ops}] = true
		delete(m.calls, id)
		return
	}
	assert.Equal(m, last <= rigSkip, err == nil, "seed %d: %v: %v", m.seed, id, err)
}

// balance: every account adds up, at any time.
func (m *rigModel) balance() {
	for _, s := range m.subs {
		require.Zero(m, s.Stats().Unaccounted(), "seed %d: %s", m.seed, s.name)
	}
	require.Zero(m, m.bus.Stats().Unaccounted(), "seed %d", m.seed)
}

// settle compares each subscription's account with the model's, delivery by delivery.
func (m *rigModel) settle() {
	for _, s := range m.subs {
		want := jitney.Stats{}
		open := uint64(0)
		for id, ok := range m.accepted {
			if !ok || id.sub != s.name {
				continue
			}
			want.Accepted++
			attempts, last := m.whole(id)
			switch {
			case id.round < 0 || m.left[id] || m.calls[id] < attempts:
				open++
			case last == rigOK:
				want.Handled++
			case last == rigSkip:
				want.Skipped++
			default:
				want.Dead++
			}
			if m.left[id] || id.round < 0 {
				continue
			}
			assert.LessOrEqual(m, m.calls[id], attempts, "seed %d: %v", m.seed, id)
		}
		got := s.Stats()
		rest := uint64(got.Queued + got.Running + got.Waiting + got.Parked)
		named := uint64(0)
		for id := range m.left {
			if id.sub == s.name {
				named++
			}
		}
		assert.Equal(m, [4]uint64{want.Accepted, want.Handled, want.Skipped, want.Dead},
			[4]uint64{got.Accepted, got.Handled, got.Skipped, got.Dead}, "seed %d: %s", m.seed, s.name)
		assert.Equal(m, open, got.Dropped+rest, "seed %d: %s", m.seed, s.name)
		assert.Equal(m, named, rest, "seed %d: %s names what is left", m.seed, s.name)
		if s.policy != jitney.DropOldest {
			assert.Zero(m, got.Dropped, "seed %d: %s", m.seed, s.name)
		}
	}
}

// rigRun plays one seed, and returns how many operations it had.
func rigRun(t *testing.T, seed int64) (ops int) {
	synctest.Test(t, func(t *testing.T) {
		m := &rigModel{
			T: t, seed: uint64(seed), rng: rand.New(rand.NewPCG(uint64(seed), 1)), letters: &jitney.MemoryDeadLetters{},
			accepted: map[rigID]bool{}, calls: map[rigID]int{}, begun: map[rigID]bool{}, left: map[rigID]bool{},
		}
		m.bus = jitney.New(jitney.WithLogger(slog.New(slog.DiscardHandler)))
		defer m.bus.Shutdown(context.Background()) // also when a check has ended the test
		m.subscribe()
		m.subscribe()
		for range 20 + m.rng.IntN(80) {
			m.ops++
			synctest.Wait()
			m.step()
			m.balance()
		}
		m.mu.Lock()
		m.down = true
		m.mu.Unlock()
		ctx, cancel := m.patience()
		defer cancel()
		m.unhandled(m.bus.Shutdown(ctx))
		assert.ErrorIs(t, m.publish(context.Background(), 1), jitney.ErrClosed)
		m.balance()
		m.settle()
		ops = m.ops
	})
	return ops
}

// TestModel plays random operations, and compares the bus with a model of maps and slices. Replay a seed
// that fails with -jitney.seed.
//
// Under the race detector it runs on one processor. On two, one run in five ends in a failure of the race
// runtime itself (go1.26.8: "ThreadSanitizer: CHECK failed: tsan_rtl.cpp:346", or SIGSEGV on a goroutine 0 that
// stands in a synctest bubble), in a few seconds of bubbles with many timers. What the detector finds does not
// depend on how many there are; the gate runs the model on 1, 2 and 4 without it.
func TestModel(t *testing.T) {
	if raceEnabled {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	}
	if *rigSeed >= 0 {
		rigRun(t, *rigSeed)
		return
	}
	total, seed := 0, int64(0)
	for ; seed < *rigSeeds && !t.Failed(); seed++ {
		total += rigRun(t, seed)
	}
	if t.Failed() {
		t.Logf("replay with -jitney.seed=%d", seed-1)
	}
	t.Logf("%d operations of %d seeds", total, seed)
}
