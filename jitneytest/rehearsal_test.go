package jitneytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/wire"
)

// paid is an event whose handler must not run twice.
type paid struct {
	Account string
	N       int
}

func (paid) EventType() string  { return "rehearsal.paid" }
func (p paid) EventKey() string { return p.Account }

func paidTypes() *wire.Types {
	types := Types()
	wire.Register[paid](types)
	return types
}

// books is a handler that adds up, and takes no care that it runs once for each event.
type books struct {
	mu    sync.Mutex
	heard []paid
}

func (b *books) add(_ context.Context, e paid) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heard = append(b.heard, e)
	return nil
}

// of are the numbers of an account's events, in the order of their first coming.
func (b *books) of(account string) (ns []int) {
	for _, e := range b.heard {
		if e.Account == account && !slices.Contains(ns, e.N) {
			ns = append(ns, e.N)
		}
	}
	return ns
}

const (
	accounts = 4
	each     = 12
)

// pay publishes each events of each account, in turns, and what is in doubt until it is not.
func pay(t testing.TB, b *jitney.Bus) {
	for n := range each {
		for account := range accounts {
			err := b.Publish(context.Background(), paid{fmt.Sprint("account ", account), n})
			var doubt *jitney.AppendError
			for errors.As(err, &doubt) && errors.Is(err, jitney.ErrIndeterminate) {
				err = b.Forward(context.Background(), doubt.Envelopes[0])
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// rehearse lets a shop without an inbox, and one with, take payments, and returns what they have heard when all is
// settled.
func rehearse(t testing.TB, r *Rehearsal) (naive, careful *books) {
	naive, careful = new(books), new(books)
	b := New(t, jitney.WithJournal(r))
	jitney.Subscribe(b, "naive", naive.add)
	jitney.Subscribe(b, "careful", careful.add, jitney.WithIdempotency(&jitney.MemoryInbox{}), jitney.WithWorkers(3))
	pay(t, b)
	flush(t, b)
	return naive, careful
}

func kinds(r *Rehearsal) map[string]int {
	n := make(map[string]int)
	for _, f := range r.Faults() {
		n[f.Kind]++
	}
	return n
}

func TestEachFaultHappensAndAnInboxIsEnough(t *testing.T) {
	for _, c := range []struct {
		kind     string
		profile  Profile
		repeated bool // a handler without an inbox runs more than once for some events
	}{
		{GivenTwice, Profile{Duplicates: 0.3}, true},
		{AckLost, Profile{LostAcks: 0.3}, true},
		{PlaceLost, Profile{Takeovers: 0.1}, true},
		{GivenAgain, Profile{Takeovers: 0.1, Window: 16}, true},
		{StoredInDoubt, Profile{Indeterminate: 0.5}, false},
		{LostInDoubt, Profile{Indeterminate: 0.5}, false},
		{StoredTwice, Profile{Indeterminate: 0.5, Remembers: -1}, true},
		{SeenLate, Profile{Late: 0.3}, false},
		{Overtaking, Profile{Late: 0.3, PerKey: true}, false},
		{"", InProcess, false},
		{"", SQL, true},
		{"", NATS, true},
		{"", Kafka, true},
		{"", Worst, true},
	} {
		t.Run(c.kind+c.profile.Name, func(t *testing.T) {
			r := Rehearse(t, c.profile.WithSeed(3), paidTypes())
			naive, careful := rehearse(t, r)
			if c.kind != "" {
				assert.Positive(t, kinds(r)[c.kind])
			}
			assert.Len(t, careful.heard, accounts*each)
			if c.repeated {
				assert.Greater(t, len(naive.heard), accounts*each)
			} else {
				assert.Len(t, naive.heard, accounts*each)
			}
			for _, b := range []*books{naive, careful} {
				for account := range accounts {
					ns := b.of(fmt.Sprint("account ", account))
					assert.Len(t, ns, each)
					assert.True(t, slices.IsSorted(ns), "%v", ns)
				}
			}
		})
	}
}

func TestInProcessNothingHappens(t *testing.T) {
	r := Rehearse(t, InProcess, paidTypes())
	rehearse(t, r)
	assert.Empty(t, r.Faults())
}

// What follows from the moment as well is left out: what else a place that was lost had settled, and who was overtaken.
func repeated(r *Rehearsal) map[string]int {
	n := kinds(r)
	delete(n, GivenAgain)
	delete(n, Overtaking)
	return n
}

func TestASeedRepeatsItsFaults(t *testing.T) {
	run := func(seed uint64) map[string]int {
		r := Rehearse(t, Worst.WithSeed(seed), paidTypes())
		rehearse(t, r)
		return repeated(r)
	}
	first := run(5)
	assert.Equal(t, first, run(5))
	assert.NotEqual(t, first, run(6))
}

func TestASeedHitsTheSameEvents(t *testing.T) {
	run := func(seed uint64) (got []string) {
		r := Rehearse(t, Worst.WithSeed(seed), paidTypes())
		numbers := make(map[uuid.UUID]int)
		for n := range 40 {
			env := paidEnvelope(n)
			numbers[env.ID] = n
			err := r.Append(t.Context(), env)
			for errors.Is(err, jitney.ErrIndeterminate) {
				err = r.Append(t.Context(), env)
			}
			require.NoError(t, err)
		}
		c, err := r.Open(t.Context(), jitney.Durable{Name: "s", From: jitney.FromBeginning(), Window: 8})
		require.NoError(t, err)
		end := int64(0)
		for through := int64(-1); through < end; {
			var entries []jitney.Entry
			entries, through, err = c.Next(t.Context(), 8)
			require.NoError(t, err)
			for _, e := range entries {
				c.Settle(e.Position, jitney.Settled)
			}
			end, err = r.End(t.Context())
			require.NoError(t, err)
		}
		for _, f := range r.Faults() {
			if f.Kind != Overtaking && f.Kind != GivenAgain {
				got = append(got, fmt.Sprint(f.Kind, " ", numbers[f.Event]))
			}
		}
		slices.Sort(got)
		return got
	}
	first := run(7)
	assert.NotEmpty(t, first)
	assert.Equal(t, first, run(7))
	assert.NotEqual(t, first, run(8))
}

func paidEnvelope(n int) *jitney.Envelope {
	e := paid{fmt.Sprint("account ", n%accounts), n}
	return &jitney.Envelope{ID: uuid.Must(uuid.NewV7()), Type: e.EventType(), Version: 1, Time: died, Key: e.Account, Event: e}
}

func TestEventsOfOtherKeysComeInAnotherOrder(t *testing.T) {
	r := Rehearse(t, Profile{PerKey: true, Seed: 1}, paidTypes())
	for n := range 20 {
		require.NoError(t, r.Append(t.Context(), paidEnvelope(n)))
	}
	c, err := r.Open(t.Context(), jitney.Durable{Name: "s", From: jitney.FromBeginning(), Window: 20})
	require.NoError(t, err)
	entries, through, err := c.Next(t.Context(), 20)
	require.NoError(t, err)
	require.Len(t, entries, 20)
	assert.EqualValues(t, 20, through)
	assert.False(t, slices.IsSortedFunc(entries, func(a, b jitney.Entry) int { return int(a.Position - b.Position) }))
}

func TestWhatIsTooLargeOrABatchIsRefused(t *testing.T) {
	r := Rehearse(t, Profile{MaxEvent: 1000, NoBatches: true}, paidTypes())
	big := paidEnvelope(1)
	big.Event = paid{strings.Repeat("secret", 200), 1}
	err := r.Append(t.Context(), big)
	require.ErrorIs(t, err, wire.ErrPayloadTooLarge)
	assert.NotContains(t, err.Error(), "secret")
	require.ErrorIs(t, r.Append(t.Context(), paidEnvelope(1), paidEnvelope(2)), errors.ErrUnsupported)
	end, err := r.End(t.Context())
	require.NoError(t, err)
	assert.Zero(t, end)
	assert.Empty(t, r.Faults())
}

func TestAnIDIsRememberedSoFarBack(t *testing.T) {
	r := Rehearse(t, Profile{Remembers: 2}, paidTypes())
	first := paidEnvelope(0)
	for _, env := range []*jitney.Envelope{first, paidEnvelope(1), first, paidEnvelope(2), first} {
		require.NoError(t, r.Append(t.Context(), env))
	}
	end, err := r.End(t.Context())
	require.NoError(t, err)
	assert.EqualValues(t, 4, end)
	assert.Equal(t, map[string]int{StoredTwice: 1}, kinds(r))
}

func TestACrashLosesWhatWasSettledLast(t *testing.T) {
	r := Rehearse(t, Profile{Window: 10}, paidTypes())
	c, err := r.Open(t.Context(), jitney.Durable{Name: "s", From: jitney.FromBeginning()})
	require.NoError(t, err)
	for n := range 25 {
		require.NoError(t, r.Append(t.Context(), paidEnvelope(n)))
	}
	entries, _, err := c.Next(t.Context(), 25)
	require.NoError(t, err)
	for _, e := range entries {
		c.Settle(e.Position, jitney.Settled)
	}
	r.Crash(paidTypes())
	c.Settle(1, jitney.Settled) // by a process that is dead
	require.NoError(t, c.Close(t.Context()))

	c, err = r.Open(t.Context(), jitney.Durable{Name: "s"})
	require.NoError(t, err)
	entries, _, err = c.Next(t.Context(), 25)
	require.NoError(t, err)
	require.Len(t, entries, 5)
	assert.EqualValues(t, 21, entries[0].Position)
	assert.Equal(t, map[string]int{GivenAgain: 5}, kinds(r))
	assert.NoError(t, c.Close(t.Context()))
}

func TestTheNextProcessHandlesAgainWhatAnInboxKnows(t *testing.T) {
	r := Rehearse(t, Profile{Window: 10}, paidTypes())
	naive, careful := rehearse(t, r)
	r.Crash(paidTypes())
	again := new(books)
	b := New(t, jitney.WithJournal(r))
	jitney.Subscribe(b, "naive", again.add)
	flush(t, b)
	assert.Len(t, naive.heard, accounts*each)
	assert.Len(t, careful.heard, accounts*each)
	assert.Len(t, again.heard, accounts*each%10)
}

// What is recalled is what the other process would handle, before anything of it comes again.
func TestATakeoverRecallsWhatIsNotSettled(t *testing.T) {
	r := Rehearse(t, Profile{Takeovers: 1, Window: 10}, paidTypes())
	var recalled []int64
	var held []jitney.Held
	c, err := r.Open(t.Context(), jitney.Durable{
		Name: "s", From: jitney.FromBeginning(),
		Held:   func(h jitney.Held) { held = append(held, h) },
		Recall: func(_ context.Context, positions ...int64) error { recalled = positions; return nil },
	})
	require.NoError(t, err)
	for n := range 4 {
		require.NoError(t, r.Append(t.Context(), paidEnvelope(n)))
	}
	require.NoError(t, c.Hold(t.Context(), jitney.Held{Paused: true}))
	entries, _, err := c.Next(t.Context(), 3)
	require.NoError(t, err)
	require.Len(t, entries, 3)
	require.Len(t, held, 1)

	c.Settle(2, jitney.Settled)
	assert.ErrorIs(t, c.Hold(t.Context(), jitney.Held{}), jitney.ErrInUse)
	c.Settle(1, jitney.Settled) // nobody hears it
	assert.Empty(t, recalled)
	again, _, err := c.Next(t.Context(), 3)
	require.NoError(t, err)
	assert.Equal(t, []int64{1, 2, 3}, recalled)
	assert.Empty(t, again, "what was recalled comes when Next has returned")
	again, _, err = c.Next(t.Context(), 3)
	require.NoError(t, err)
	assert.Equal(t, []jitney.Held{{Paused: true}, {Paused: true}}, held)
	require.Len(t, again, 3)
	assert.EqualValues(t, 1, again[0].Position)
	assert.Equal(t, map[string]int{PlaceLost: 1}, kinds(r))
}

func TestARecallThatFailsIsTriedAgain(t *testing.T) {
	r := Rehearse(t, Profile{Takeovers: 1}, paidTypes())
	failure := errBroken
	c, err := r.Open(t.Context(), jitney.Durable{
		Name: "s", From: jitney.FromBeginning(),
		Recall: func(context.Context, ...int64) error { return failure },
	})
	require.NoError(t, err)
	require.NoError(t, r.Append(t.Context(), paidEnvelope(1)))
	_, _, err = c.Next(t.Context(), 1)
	require.NoError(t, err)
	c.Settle(1, jitney.Settled)
	_, _, err = c.Next(t.Context(), 1)
	require.ErrorIs(t, err, errBroken)
	failure = nil
	entries, _, err := c.Next(t.Context(), 1)
	require.NoError(t, err)
	assert.Empty(t, entries)
	entries, _, err = c.Next(t.Context(), 1)
	require.NoError(t, err)
	assert.Len(t, entries, 1)
}

// crooked is what a later program takes for paid.
type crooked struct{ Account int }

func (crooked) EventType() string { return "rehearsal.paid" }

func TestWhatCannotBeReadComesWithItsError(t *testing.T) {
	r := Rehearse(t, Worst.WithSeed(2), paidTypes())
	for _, env := range []*jitney.Envelope{paidEnvelope(0), paidEnvelope(1)} {
		env.Event, env.Type = jitney.RawEvent{Type: "other", Version: 1, Data: []byte("{}")}, "other"
		require.NoError(t, r.Append(t.Context(), env))
	}
	require.NoError(t, r.Append(t.Context(), paidEnvelope(2)))
	later := wire.NewTypes()
	wire.Register[crooked](later)
	r.Crash(later)
	c, err := r.Open(t.Context(), jitney.Durable{Name: "s", From: jitney.FromBeginning()})
	require.NoError(t, err)
	unread := 0
	for got := 0; got < 3; {
		entries, _, err := c.Next(t.Context(), 3)
		require.NoError(t, err)
		for _, e := range entries {
			if e.Err != nil {
				require.ErrorIs(t, e.Err, wire.ErrDecode)
				unread++
			}
			c.Settle(e.Position, jitney.Settled)
		}
		got += len(entries)
	}
	assert.Positive(t, unread)
}

func TestAFailedTestToldItsSeedAndFaults(t *testing.T) {
	run := func(failed bool) string {
		s := &stage{witness: witness{}, failed: failed}
		r := Rehearse(s, Profile{Name: "Late", Late: 1, Seed: 42}, paidTypes())
		env := paidEnvelope(1)
		env.Headers = map[string]string{"canary": "canary"}
		env.Event = paid{"canary", 1}
		env.Key = "canary"
		require.NoError(t, r.Append(t.Context(), env))
		for _, f := range s.cleanups {
			f()
		}
		return s.log
	}
	assert.Empty(t, run(false))
	log := run(true)
	assert.Contains(t, log, "rehearsal Late with seed 42: 1 faults\n\tseen late: rehearsal.paid 0")
	assert.NotContains(t, log, "canary")
}

// stage is a test that has failed, or not, and keeps its log.
type stage struct {
	witness
	failed bool
	log    string
}

func (s *stage) Failed() bool                    { return s.failed }
func (s *stage) Logf(format string, args ...any) { s.log += fmt.Sprintf(format, args...) }

func TestWithoutASeedEachRehearsalHasItsOwn(t *testing.T) {
	assert.NotEqual(t, Rehearse(t, Worst, Types()).profile.Seed, Rehearse(t, Worst, Types()).profile.Seed)
}
