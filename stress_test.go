package jitney_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
)

// rigSize is n, or a hundredth of it with -short.
func rigSize(n int) int {
	if testing.Short() {
		return n / 100
	}
	return n
}

// rigCall is the n-th event that its publisher has sent under its key.
type rigCall struct{ Key, Publisher, N int }

func (rigCall) EventType() string  { return "rig.call" }
func (c rigCall) EventKey() string { return fmt.Sprint(c.Key) }

// chance is the same for the same call, and as good as random: 0 to 999.
func (c rigCall) chance() uint32 {
	h := uint32(c.Key+1)*2654435761 ^ uint32(c.Publisher+1)*2246822519 ^ uint32(c.N+1)*3266489917
	h ^= h >> 15
	return h * 668265263 >> 12 % 1000
}

// rigTrack follows one key at one subscriber. Its fields have no lock: handlers of one key that run at
// the same time are found by busy, and are a data race.
type rigTrack struct {
	busy    atomic.Bool
	next    [8]int // by publisher
	pending rigCall
	attempt int // of pending that failed; 0: none
	handled int
}

// handle checks that c is what has to come now: the same event until it has succeeded, then any
// publisher's next one.
func (k *rigTrack) handle(c rigCall, attempt int) (violation string, err error) {
	if k.busy.Swap(true) {
		return "runs while another event of its key does", nil
	}
	defer k.busy.Store(false)
	if k.attempt > 0 && c != k.pending {
		return fmt.Sprintf("comes before %+v has succeeded", k.pending), nil
	}
	if attempt != k.attempt+1 {
		return fmt.Sprintf("is at attempt %d after %d", attempt, k.attempt), nil
	}
	if c.N != k.next[c.Publisher] {
		return fmt.Sprintf("is not number %d", k.next[c.Publisher]), nil
	}
	chance := c.chance()
	if chance >= 900 {
		for range chance - 900 {
			runtime.Gosched()
		}
	}
	if chance < 50 && attempt == 1 {
		k.pending, k.attempt = c, attempt
		return "", errRig
	}
	k.next[c.Publisher]++
	k.attempt = 0
	k.handled++
	return "", nil
}

// TestKeysStayInOrderUnderLoad is the rule of order, contiguous attempts and one at a time, on the real
// scheduler.
func TestKeysStayInOrderUnderLoad(t *testing.T) {
	const publishers, keys = 8, 64
	ctx := context.Background()
	each := rigSize(200_000) / publishers / keys * keys
	b := jitney.New(jitney.WithLogger(slog.New(slog.DiscardHandler)))
	tracks := make([]rigTrack, keys)
	s := jitney.Subscribe(b, "s", func(ctx context.Context, c rigCall) error {
		violation, err := tracks[c.Key].handle(c, jitney.FromContext(ctx).Attempt)
		if violation != "" {
			t.Errorf("%+v %s", c, violation)
		}
		return err
	}, jitney.WithWorkers(8), jitney.WithBuffer(256), jitney.WithRetry(jitney.Retry{Base: time.Microsecond}))
	stop := rigSample(t, b)
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for i := range each {
				assert.NoError(t, b.Publish(ctx, rigCall{Key: i % keys, Publisher: p, N: i / keys}))
			}
		})
	}
	wg.Wait()
	require.NoError(t, b.Shutdown(ctx))
	t.Logf("%d samples of Stats", stop())
	for k := range tracks {
		assert.Equal(t, publishers*each/keys, tracks[k].handled, "key %d", k)
	}
	st := s.Stats()
	assert.EqualValues(t, publishers*each, st.Handled)
	assert.NotZero(t, st.Retried)
}

// rigSample takes samples of b's account until stop is called, and checks that each balances and that no
// counter falls. stop returns how many there were.
func rigSample(t *testing.T, b *jitney.Bus) (stop func() int) {
	done := make(chan struct{})
	samples := make(chan int)
	go func() {
		n := 0
		last := make(map[*jitney.Subscription]jitney.Stats)
		for ; ; n++ {
			select {
			case <-done:
				samples <- n
				return
			default:
			}
			for _, s := range b.Subscriptions() {
				st := s.Stats()
				before := last[s]
				last[s] = st
				if st.Unaccounted() != 0 || st.Accepted < before.Accepted || st.Handled < before.Handled {
					t.Errorf("%s: %+v after %+v", s.Name(), st, before)
				}
			}
			if n%64 == 0 {
				clear(last) // of those that are closed
			}
			if sum := b.Stats(); sum.Unaccounted() != 0 {
				t.Errorf("bus: %+v", sum)
			}
			<-time.After(time.Millisecond)
		}
	}()
	return func() int { close(done); return <-samples }
}

// rigTick is as cheap as an event can be.
type rigTick struct{}

func (rigTick) EventType() string { return "rig.tick" }

// TestSubscribersComeAndGoUnderLoad: all the while events are published, subscribers come and go; each
// handles just what it accepted, and nothing after Close.
func TestSubscribersComeAndGoUnderLoad(t *testing.T) {
	const publishers = 50
	ctx := context.Background()
	each := rigSize(200_000)
	b := jitney.New(jitney.WithLogger(slog.New(slog.DiscardHandler)))
	stop := rigSample(t, b)
	var publishing, guests sync.WaitGroup
	over := make(chan struct{})
	var handled, visits atomic.Uint64
	for g := range 4 {
		guests.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-over:
					return
				default:
					handled.Add(rigVisit(t, b, fmt.Sprint("guest", g), i))
					visits.Add(1)
				}
			}
		})
	}
	for range publishers {
		publishing.Go(func() {
			for range each / 10 {
				var e rigTick
				if err := b.Publish(ctx, e, e, e, e, e, e, e, e, e, e); err != nil {
					t.Error(err)
				}
			}
		})
	}
	publishing.Wait()
	close(over)
	guests.Wait()
	require.NoError(t, b.Shutdown(ctx))
	samples := stop()
	st := b.Stats()
	assert.Zero(t, st.Unaccounted())
	assert.Equal(t, st.Accepted, st.Handled)
	assert.Equal(t, handled.Load(), st.Handled)
	t.Logf("%d events, %d deliveries, %d visits, %d samples of Stats", publishers*each, st.Handled, visits.Load(), samples)
}

// rigVisit subscribes, handles a while and closes. It returns how many events were handled.
func rigVisit(t *testing.T, b *jitney.Bus, name string, i int) uint64 {
	var n atomic.Uint64
	enough := make(chan struct{})
	var once sync.Once
	want := uint64(1 + i%7*100)
	s := jitney.Subscribe(b, name, func(context.Context, rigTick) error {
		if n.Add(1) == want {
			once.Do(func() { close(enough) })
		}
		return nil
	})
	select {
	case <-enough:
	case <-time.After(20 * time.Millisecond):
	}
	assert.NoError(t, s.Close(context.Background()))
	got, st := n.Load(), s.Stats()
	assert.Zero(t, st.Unaccounted())
	assert.Equal(t, st.Accepted, got, "%s handles all that it accepted, before Close returns", name)
	return got
}

// TestSubscribeAndCloseStorm: names are free again when Close returns, also with others at it.
func TestSubscribeAndCloseStorm(t *testing.T) {
	ctx := context.Background()
	b := jitney.New(jitney.WithLogger(slog.New(slog.DiscardHandler)))
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			var opts []jitney.SubscribeOption
			if g%2 == 1 {
				opts = append(opts, jitney.WithWorkers(3))
			}
			for range rigSize(50_000) / 100 {
				var open atomic.Bool
				open.Store(true)
				s := jitney.Subscribe(b, fmt.Sprint("s", g), func(context.Context, jitney.Event) error {
					if !open.Load() {
						t.Error("a handler runs after Close")
					}
					return nil
				}, opts...)
				assert.NoError(t, b.Publish(ctx, rigTick{}))
				assert.NoError(t, s.Close(ctx))
				open.Store(false)
			}
		})
	}
	wg.Wait()
	assert.Empty(t, b.Subscriptions())
	require.NoError(t, b.Shutdown(ctx))
	st := b.Stats()
	assert.Zero(t, st.Unaccounted())
	assert.Equal(t, st.Accepted, st.Handled)
}

// TestFlushIsNotFooledByWorkThatMoves: one event goes from subscriber to subscriber, behind the back of
// whoever looks at them one after the other. There is no quiet moment before its last stop.
func TestFlushIsNotFooledByWorkThatMoves(t *testing.T) {
	const subscribers, stops = 64, 50_000
	ctx := context.Background()
	b := jitney.New(jitney.WithLogger(slog.New(slog.DiscardHandler)))
	var made atomic.Int64
	for i := range subscribers {
		next := fmt.Sprint("s", (i+subscribers-1)%subscribers)
		jitney.Subscribe(b, fmt.Sprint("s", i), func(ctx context.Context, _ rigTick) error {
			if made.Add(1) == stops {
				return nil
			}
			return b.Forward(ctx, jitney.FromContext(ctx).Envelope, next)
		})
	}
	env := &jitney.Envelope{ID: uuid.New(), Type: "rig.tick", Version: 1, Time: time.Now(), Correlation: "c", Event: rigTick{}}
	require.NoError(t, b.Forward(ctx, env, "s0"))
	require.NoError(t, b.Flush(ctx))
	assert.EqualValues(t, stops, made.Load())
	require.NoError(t, b.Shutdown(ctx))
}
