package dbtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/jitneytest"
	"github.com/jitney-go/jitney/sqljournal"
	"github.com/jitney-go/jitney/wire"
)

// Journal is what all databases' journals are.
type Journal interface {
	jitney.Journal
	Close(ctx context.Context) error
	DeadLetters() jitney.DeadLetterStore
	Inbox() jitney.Inbox
	Tx(ctx context.Context, f func(ctx context.Context, tx *sql.Tx) error) error
	TxOf(ctx context.Context) *sql.Tx
	WithTx(ctx context.Context, tx *sql.Tx) context.Context
	Prune(ctx context.Context, r sqljournal.Retention) (sqljournal.Pruned, error)
	Preflight(ctx context.Context, b *jitney.Bus) (sqljournal.Preflight, error)
	Forget(ctx context.Context, name string) error
	Replay(ctx context.Context, r sqljournal.Replay) (sqljournal.Replayed, error)
	Replaying(ctx context.Context, subscriber string) (int64, error)
}

// Database is where a test keeps its journal.
type Database struct {
	// Open opens the journal, again and again the same.
	Open func(types *wire.Types) (Journal, error)
	// OpenDB opens it in a pool that the caller has made, which is to be a short lease's: for databases with leases.
	OpenDB func(db *sql.DB, types *wire.Types) (Journal, error)
	// Pool makes such a pool.
	Pool func() (*sql.DB, error)
	// Schema is the schema as plain SQL, for the journal that Open opens.
	Schema string
	// Execute executes a statement of it.
	Execute func(ctx context.Context, statement string) error
	// Prefix is what the tables of the test's own application begin with. It has {p}items.
	Prefix string
	// Concurrent says that several transactions can write at a time.
	Concurrent bool
	// Numbered says that placeholders are $1, $2 …
	Numbered bool
}

// Counted is an event: the N-th of its key.
type Counted struct {
	Key string
	N   int
}

// EventType implements jitney.Event.
func (Counted) EventType() string { return "dbtest.counted" }

// EventKey is the key.
func (c Counted) EventKey() string { return c.Key }

func types() *wire.Types {
	ts := jitneytest.Types()
	wire.Register[Counted](ts)
	return ts
}

// Run runs all tests that hold for each database. begin returns an empty one.
func Run(t *testing.T, begin func(t *testing.T) *Database) {
	t.Run("Journal", func(t *testing.T) {
		jitneytest.TestJournal(t, func(t *testing.T) jitneytest.JournalStore { return &Store{OpenJournal: begin(t).Open} })
	})
	t.Run("DeadLetters", func(t *testing.T) {
		jitneytest.TestDeadLetterStore(t, func(t *testing.T) jitney.DeadLetterStore { return open(t, begin(t)).DeadLetters() })
	})
	t.Run("Inbox", func(t *testing.T) {
		jitneytest.TestInbox(t, func(t *testing.T) jitney.Inbox { return open(t, begin(t)).Inbox() })
	})
	t.Run("LettersSurvive", func(t *testing.T) { lettersSurvive(t, begin(t)) })
	t.Run("Retention", func(t *testing.T) { retention(t, begin(t)) })
	t.Run("Preflight", func(t *testing.T) { preflight(t, begin(t)) })
	t.Run("Schema", func(t *testing.T) { schema(t, begin(t)) })
	t.Run("OutboxDuplicates", func(t *testing.T) { outboxDuplicates(t, begin(t)) })
}

// Outbox runs the tests of what is published in a transaction.
func Outbox(t *testing.T, begin func(t *testing.T) *Database) {
	t.Run("IfAndOnlyIf", func(t *testing.T) { outbox(t, begin(t)) })
	t.Run("Order", func(t *testing.T) { outboxOrder(t, begin(t)) })
	if d := begin(t); d.Concurrent {
		t.Run("Late", func(t *testing.T) { late(t, d) })
	}
}

// EffectsOnce runs the test of the inbox in the handler's transaction.
func EffectsOnce(t *testing.T, begin func(t *testing.T) *Database) { effectsOnce(t, begin(t)) }

func open(t *testing.T, d *Database) Journal {
	t.Helper()
	j, err := d.Open(types())
	must(t, err)
	t.Cleanup(func() { must(t, j.Close(context.Background())) })
	return j
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sql fills in a statement of the test's own application.
func (d *Database) sql(template string, args ...any) string {
	text := fmt.Sprintf(template, args...)
	if !d.Numbered {
		return text
	}
	n := 0
	var b []byte
	for i := range len(text) {
		if text[i] == '?' {
			n++
			b = fmt.Appendf(b, "$%d", n)
		} else {
			b = append(b, text[i])
		}
	}
	return string(b)
}

// items makes the application's table, a counter per key.
func (d *Database) items(t *testing.T, j Journal, keys ...string) string {
	table := d.Prefix + "items"
	must(t, j.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, d.sql(`CREATE TABLE %s (k VARCHAR(50) NOT NULL PRIMARY KEY, n BIGINT NOT NULL)`, table)); err != nil {
			return err
		}
		for _, k := range keys {
			if _, err := tx.ExecContext(ctx, d.sql(`INSERT INTO %s (k, n) VALUES (?, 0)`, table), k); err != nil {
				return err
			}
		}
		return nil
	}))
	return table
}

// count adds one to a key's counter, and returns it. It holds the row until the transaction ends.
func (d *Database) count(ctx context.Context, tx *sql.Tx, table, key string) (n int, err error) {
	if _, err = tx.ExecContext(ctx, d.sql(`UPDATE %s SET n = n + 1 WHERE k = ?`, table), key); err != nil {
		return 0, err
	}
	err = tx.QueryRowContext(ctx, d.sql(`SELECT n FROM %s WHERE k = ?`, table), key).Scan(&n)
	return n, err
}

// listener is a bus on j whose one subscriber writes down what it hears.
type listener struct {
	bus  *jitney.Bus
	mu   sync.Mutex
	seen map[string][]int
}

func listen(j Journal, opts ...jitney.SubscribeOption) *listener {
	l := &listener{seen: make(map[string][]int)}
	l.bus = jitney.New(jitney.WithJournal(j), jitney.WithLogger(slog.New(slog.DiscardHandler)))
	jitney.Subscribe(l.bus, "listener", func(_ context.Context, e Counted) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.seen[e.Key] = append(l.seen[e.Key], e.N)
		return nil
	}, append(opts, jitney.WithStart(jitney.FromBeginning()))...)
	return l
}

func (l *listener) of(key string) []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]int(nil), l.seen[key]...)
}

// hears waits until the listener has heard n events of key.
func (l *listener) hears(t *testing.T, key string, n int) []int {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		if got := l.of(key); len(got) >= n {
			return got
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: heard %v, expected %d", key, l.of(key), n)
		}
		<-time.After(2 * time.Millisecond)
	}
}

// What is published in a transaction exists if and only if it commits.
func outbox(t *testing.T, d *Database) {
	j := open(t, d)
	table := d.items(t, j, "a")
	l := listen(j)
	ctx := t.Context()
	in := func(after func() error) error {
		return j.Tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			if j.TxOf(ctx) != tx {
				t.Error("TxOf is another transaction")
			}
			n, err := d.count(ctx, tx, table, "a")
			if err == nil {
				err = l.bus.Publish(ctx, Counted{"a", n}, Counted{"a", -n})
			}
			return errors.Join(err, after())
		})
	}
	must(t, in(func() error { return nil }))
	if err := in(func() error { return io.ErrUnexpectedEOF }); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Tx returned %v", err)
	}
	func() {
		defer func() { _ = recover() }()
		_ = in(func() error { panic("in the application") })
	}()
	must(t, in(func() error { return nil }))
	must(t, l.bus.Publish(ctx, Counted{"a", 99}))
	got := l.hears(t, "a", 5)
	if want := []int{1, -1, 2, -2, 99}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("heard %v, expected %v", got, want)
	}
	must(t, l.bus.Shutdown(ctx))
}

// The events of transactions that excluded each other come in the order of their commits; none is lost.
func outboxOrder(t *testing.T, d *Database) {
	j := open(t, d)
	keys := []string{"a", "b", "c", "d"}
	table := d.items(t, j, keys...)
	l := listen(j, jitney.WithWorkers(4))
	var committed, undone atomic.Int64
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			for range 15 {
				key := keys[rand.IntN(len(keys))]
				err := j.Tx(context.Background(), func(ctx context.Context, tx *sql.Tx) error {
					n, err := d.count(ctx, tx, table, key)
					if err == nil {
						err = l.bus.Publish(ctx, Counted{key, n})
					}
					if d.Concurrent {
						<-time.After(time.Duration(rand.IntN(4)) * time.Millisecond)
					}
					if err == nil && rand.IntN(5) == 0 {
						err = io.ErrUnexpectedEOF
					}
					return err
				})
				switch {
				case err == nil:
					committed.Add(1)
				case errors.Is(err, io.ErrUnexpectedEOF):
					undone.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	total := 0
	for _, key := range keys {
		var n int
		must(t, j.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			return tx.QueryRowContext(ctx, d.sql(`SELECT n FROM %s WHERE k = ?`, table), key).Scan(&n)
		}))
		got := l.hears(t, key, n)
		for i, g := range got {
			if g != i+1 {
				t.Errorf("key %s: number %d came as number %d", key, g, i+1)
				break
			}
		}
		total += len(got)
	}
	if int64(total) != committed.Load() {
		t.Errorf("%d committed, %d delivered", committed.Load(), total)
	}
	t.Logf("%d committed, %d undone, %d delivered in order", committed.Load(), undone.Load(), total)
	must(t, l.bus.Shutdown(t.Context()))
}

// A transaction that began earlier and commits later is delivered, and delays nobody until then.
func late(t *testing.T, d *Database) {
	j := open(t, d)
	l := listen(j)
	written, commit, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- j.Tx(context.Background(), func(ctx context.Context, _ *sql.Tx) error {
			err := l.bus.Publish(ctx, Counted{"early", 1})
			close(written)
			<-commit
			return err
		})
	}()
	<-written
	for n := range 3 {
		must(t, l.bus.Publish(t.Context(), Counted{"direct", n}))
		must(t, j.Tx(t.Context(), func(ctx context.Context, _ *sql.Tx) error { return l.bus.Publish(ctx, Counted{"later", n}) }))
	}
	l.hears(t, "direct", 3)
	l.hears(t, "later", 3)
	if got := l.of("early"); len(got) > 0 {
		t.Errorf("heard %v before its transaction had committed", got)
	}
	close(commit)
	must(t, <-done)
	l.hears(t, "early", 1)
	must(t, l.bus.Shutdown(t.Context()))
}

// With the inbox, the handler's effects happen once, and so does what it publishes, however often it runs.
func effectsOnce(t *testing.T, d *Database) {
	j := open(t, d)
	table := d.items(t, j, "effects")
	l := listen(j)
	var runs atomic.Int64
	jitney.Subscribe(l.bus, "effects", func(ctx context.Context, e Counted) error {
		if e.Key != "cause" {
			return nil
		}
		runs.Add(1)
		if rand.IntN(3) == 0 {
			return io.ErrUnexpectedEOF // before any effect
		}
		n, err := d.count(ctx, j.TxOf(ctx), table, "effects")
		if err == nil {
			err = l.bus.Publish(ctx, Counted{"effect", n})
		}
		if err == nil && rand.IntN(3) == 0 {
			err = io.ErrUnexpectedEOF // the transaction is undone
		}
		return err
	}, jitney.WithWorkers(4), jitney.WithIdempotency(j.Inbox()), jitney.WithStart(jitney.FromBeginning()),
		jitney.WithRetry(jitney.Retry{Attempts: 1000, Base: time.Millisecond, Max: time.Millisecond}))
	var again *jitney.Envelope
	jitney.Subscribe(l.bus, "envelopes", func(ctx context.Context, e Counted) error {
		if e.Key == "cause" {
			again = jitney.FromContext(ctx).Envelope
		}
		return nil
	}, jitney.WithSync())
	const causes = 30
	for n := range causes {
		must(t, l.bus.Publish(t.Context(), Counted{"cause", n}))
		must(t, j.Append(t.Context(), again)) // the same again is stored once
	}
	got := l.hears(t, "effect", causes)
	must(t, l.bus.Flush(t.Context()))
	for i, n := range got {
		if n != i+1 {
			t.Errorf("effect %d came as number %d", n, i+1)
		}
	}
	if len(l.of("effect")) != causes {
		t.Errorf("%d effects of %d causes", len(l.of("effect")), causes)
	}
	t.Logf("%d causes, %d runs, %d effects", causes, runs.Load(), len(got))
	must(t, l.bus.Shutdown(t.Context()))
}

// A dead letter is there after a restart, and can be redelivered.
func lettersSurvive(t *testing.T, d *Database) {
	run := func(broken bool, f func(b *jitney.Bus, j Journal)) {
		j, err := d.Open(types())
		must(t, err)
		b := jitney.New(jitney.WithJournal(j), jitney.WithLogger(slog.New(slog.DiscardHandler)))
		jitney.Subscribe(b, "s", func(context.Context, Counted) error {
			if broken {
				return io.ErrUnexpectedEOF
			}
			return nil
		}, jitney.WithDeadLetters(j.DeadLetters()))
		f(b, j)
		must(t, b.Shutdown(t.Context()))
		must(t, j.Close(t.Context()))
	}
	run(true, func(b *jitney.Bus, _ Journal) {
		must(t, b.Publish(t.Context(), Counted{"k", 7}))
		must(t, b.Flush(t.Context()))
	})
	run(false, func(b *jitney.Bus, j Journal) {
		list, err := j.DeadLetters().List(t.Context(), jitney.DeadLetterFilter{Error: "unexpected EOF"})
		must(t, err)
		if len(list) != 1 || list[0].Envelope.Event != (jitney.Event)(Counted{"k", 7}) {
			t.Fatalf("letters: %v", list)
		}
		must(t, b.Redeliver(t.Context(), list[0]))
		if n, err := j.DeadLetters().Count(t.Context(), jitney.DeadLetterFilter{}); n != 0 || err != nil {
			t.Errorf("%d letters, %v", n, err)
		}
	})
}

// Leases runs the test of several processes that share a subscriber's name.
func Leases(t *testing.T, begin func(t *testing.T) *Database) {
	d := begin(t)
	type process struct {
		db      *sql.DB
		j       Journal
		b       *jitney.Bus
		handled atomic.Int64
	}
	var seen sync.Map
	var twice atomic.Int64
	start := func() *process {
		p := &process{}
		var err error
		p.db, err = d.Pool()
		must(t, err)
		p.j, err = d.OpenDB(p.db, types())
		must(t, err)
		p.b = jitney.New(jitney.WithJournal(p.j), jitney.WithLogger(slog.New(slog.DiscardHandler)))
		jitney.Subscribe(p.b, "shared", func(_ context.Context, e Counted) error {
			if _, again := seen.LoadOrStore(e.N, p); again {
				twice.Add(1)
			}
			p.handled.Add(1)
			return nil
		}, jitney.WithStart(jitney.FromBeginning()))
		return p
	}
	n := 0
	publish := func(p *process) {
		for range 20 {
			must(t, p.b.Publish(t.Context(), Counted{"k", n}))
			n++
		}
	}
	all := func() (sum int) {
		seen.Range(func(any, any) bool { sum++; return true })
		return sum
	}
	await := func() {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); all() < n; <-time.After(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d of %d handled", all(), n)
			}
		}
	}
	first := start()
	publish(first)
	await()
	second := start()
	publish(second)
	await()
	must(t, second.b.Flush(t.Context())) // what is the other's does not hold it up
	if first.handled.Load() != 40 || second.handled.Load() != 0 {
		t.Errorf("%d handled by the owner, %d by the other", first.handled.Load(), second.handled.Load())
	}

	must(t, first.b.Shutdown(t.Context()))
	must(t, first.j.Close(t.Context()))
	must(t, first.db.Close())
	publish(second)
	await()
	if twice.Load() > 0 {
		t.Errorf("%d handled twice although the owner has closed", twice.Load())
	}

	third := start()
	publish(third)
	await()
	must(t, second.db.Close()) // to the database that is what the death of a process is
	publish(third)
	await()
	t.Logf("%d handled twice after a death", twice.Load())
	must(t, third.b.Shutdown(t.Context()))
	must(t, third.j.Close(t.Context()))
	must(t, third.db.Close())
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_ = second.b.Shutdown(ctx)
	_ = second.j.Close(t.Context())
}

// Prune removes what is beyond the limits and what everybody has settled, and says who holds back the rest.
func retention(t *testing.T, d *Database) {
	j, err := d.Open(types())
	must(t, err)
	l := listen(j)
	slow, err := j.Open(t.Context(), jitney.Durable{Name: "slow", From: jitney.FromBeginning()})
	must(t, err)
	for n := range 30 {
		must(t, l.bus.Publish(t.Context(), Counted{"k", n}))
	}
	must(t, l.bus.Flush(t.Context()))
	var entries []jitney.Entry
	for len(entries) < 10 {
		more, _, err := slow.Next(t.Context(), 10-len(entries))
		must(t, err)
		entries = append(entries, more...)
	}
	slow.Settle(entries[0].Position, jitney.Unknown) // put aside: it stays
	for _, e := range entries[1:] {
		slow.Settle(e.Position, jitney.Settled)
	}
	must(t, slow.Close(t.Context()))
	must(t, l.bus.Shutdown(t.Context()))

	prune := func(r sqljournal.Retention, removed, first int64, held ...string) {
		t.Helper()
		p, err := j.Prune(t.Context(), r)
		must(t, err)
		if p.Removed != removed || p.First != first || len(p.HeldBy) != len(held) {
			t.Errorf("%+v: %+v, expected %d removed, the first %d, held by %v", r, p, removed, first, held)
		}
	}
	prune(sqljournal.Retention{}, 0, 1)
	prune(sqljournal.Retention{MaxAge: time.Hour}, 0, 1)
	prune(sqljournal.Retention{MaxEvents: 100}, 0, 1)
	prune(sqljournal.Retention{MaxEvents: 25}, 4, 6) // 1 is put aside
	prune(sqljournal.Retention{MaxAge: time.Nanosecond}, 5, 11, "slow")
	l = listen(j)
	got := func(name string) (list []int) {
		c, err := j.Open(t.Context(), jitney.Durable{Name: name, From: jitney.FromBeginning()})
		must(t, err)
		end, err := j.End(t.Context())
		must(t, err)
		for through := int64(0); through < end; {
			var entries []jitney.Entry
			entries, through, err = c.Next(t.Context(), 100)
			must(t, err)
			for _, e := range entries {
				must(t, e.Err)
				list = append(list, e.Envelope.Event.(Counted).N)
			}
		}
		must(t, c.Close(t.Context()))
		return list
	}
	if list := got("new"); len(list) != 20 || list[0] != 10 {
		t.Errorf("a new subscriber gets %v", list)
	}
	prune(sqljournal.Retention{MaxEvents: 5, Unsettled: true}, 15, 26, "slow", "new")
	must(t, l.bus.Shutdown(t.Context()))
	must(t, j.Close(t.Context()))
	j, err = d.Open(types()) // what is in memory is not pruned
	must(t, err)
	l = listen(j)
	if list := got("slow"); len(list) != 6 || list[0] != 0 || list[1] != 25 {
		t.Errorf("the slow subscriber gets %v, expected what was put aside and what is left", list)
	}
	must(t, l.bus.Publish(t.Context(), Counted{"k", 30}))
	must(t, l.bus.Flush(t.Context()))
	must(t, l.bus.Shutdown(t.Context()))
	must(t, j.Close(t.Context()))
}

// Preflight names what the journal has and the program does not.
func preflight(t *testing.T, d *Database) {
	j, err := d.Open(types())
	must(t, err)
	l := listen(j)
	jitney.Subscribe(l.bus, "renamed", func(context.Context, Counted) error { return nil })
	must(t, l.bus.Publish(t.Context(), Counted{"k", 1}))
	must(t, l.bus.Flush(t.Context()))
	p, err := j.Preflight(t.Context(), l.bus)
	must(t, err)
	must(t, p.Err())
	if err := j.Forget(t.Context(), "renamed"); !errors.Is(err, jitney.ErrInUse) {
		t.Errorf("Forget of an open subscriber: %v", err)
	}
	must(t, l.bus.Shutdown(t.Context()))
	must(t, j.Close(t.Context()))

	j, err = d.Open(wire.NewTypes())
	must(t, err)
	l = listen(j)
	p, err = j.Preflight(t.Context(), l.bus)
	must(t, err)
	text := fmt.Sprint(p.Err())
	for _, part := range []string{`subscriber "renamed"`, "events dbtest.counted of version 1"} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in %s", part, text)
		}
	}
	must(t, j.Forget(t.Context(), "renamed"))
	if p, err = j.Preflight(t.Context(), l.bus); err != nil || len(p.Orphans) > 0 {
		t.Errorf("orphans after Forget: %v, %v", p.Orphans, err)
	}
	must(t, l.bus.Shutdown(t.Context()))
	must(t, j.Close(t.Context()))
}

// Replay runs the test of giving a subscriber again what it has settled.
func Replay(t *testing.T, begin func(t *testing.T) *Database) {
	d := begin(t)
	j := open(t, d)
	l := listen(j)
	var other atomic.Int64
	jitney.Subscribe(l.bus, "other", func(context.Context, Counted) error { other.Add(1); return nil })
	jitney.Subscribe(l.bus, "mailer", func(context.Context, Counted) error { return nil }, jitney.WithSideEffects())
	var effects atomic.Int64
	jitney.Subscribe(l.bus, "inbox", func(context.Context, Counted) error { effects.Add(1); return nil }, jitney.WithIdempotency(j.Inbox()))
	for n := range 10 {
		must(t, l.bus.Publish(t.Context(), Counted{[]string{"a", "b"}[n%2], n}))
	}
	must(t, l.bus.Flush(t.Context()))
	key := "a"
	replay := func(r sqljournal.Replay, looked, queued int64) {
		t.Helper()
		calls := 0
		r.OnProgress = func(sqljournal.Replayed) { calls++ }
		done, err := j.Replay(t.Context(), r)
		must(t, err)
		if done.Looked != looked || done.Queued != queued || calls == 0 {
			t.Errorf("%+v: %+v, %d calls", r, done, calls)
		}
	}
	settled := func(names ...string) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); ; <-time.After(5 * time.Millisecond) {
			left := int64(0)
			for _, name := range names {
				n, err := j.Replaying(t.Context(), name)
				must(t, err)
				left += n
			}
			if left == 0 {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d are still to be given again", left)
			}
		}
	}
	replay(sqljournal.Replay{Subscriber: "listener", From: jitney.FromBeginning(), DryRun: true}, 10, 10)
	replay(sqljournal.Replay{Subscriber: "listener", From: jitney.FromBeginning(), Key: &key}, 10, 5)
	settled("listener")
	replay(sqljournal.Replay{Subscriber: "listener", Position: 8}, 3, 3)
	replay(sqljournal.Replay{Subscriber: "inbox", From: jitney.FromTime(time.Unix(0, 0))}, 10, 10)
	settled("listener", "inbox")
	must(t, l.bus.Publish(t.Context(), Counted{"a", 10}))
	must(t, l.bus.Flush(t.Context()))
	if a, b := fmt.Sprint(l.of("a")), fmt.Sprint(l.of("b")); a != "[0 2 4 6 8 0 2 4 6 8 8 10]" || b != "[1 3 5 7 9 7 9]" {
		t.Errorf("a: %v, b: %v", a, b)
	}
	if other.Load() != 11 || effects.Load() != 21 {
		t.Errorf("another subscriber has handled %d, that with an inbox %d", other.Load(), effects.Load())
	}
	for _, c := range []struct {
		r    sqljournal.Replay
		want error
	}{
		{sqljournal.Replay{Subscriber: "mailer", From: jitney.FromBeginning()}, sqljournal.ErrSideEffects},
		{sqljournal.Replay{Subscriber: "nobody", From: jitney.FromBeginning()}, sqljournal.ErrNotOpen},
	} {
		if _, err := j.Replay(t.Context(), c.r); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v", c.r, err)
		}
	}
	if _, err := j.Replay(t.Context(), sqljournal.Replay{Subscriber: "listener"}); err == nil {
		t.Error("a replay from nowhere")
	}
	replay(sqljournal.Replay{Subscriber: "mailer", From: jitney.FromBeginning(), SideEffects: true}, 11, 11)
	settled("mailer")
	must(t, l.bus.Shutdown(t.Context()))
}

// CrashLoop runs the test of an event that is in flight whenever the process dies.
func CrashLoop(t *testing.T, begin func(t *testing.T) *Database) {
	d := begin(t)
	ctx := t.Context()
	// life is a process: it is given entries until it dies, and settles those that are given in survives.
	life := func(survives func(n int) bool) (given, crashes []int) {
		j, err := d.Open(types())
		must(t, err)
		defer func() { must(t, j.Close(context.Background())) }() // without closing the cursor: that is a death
		c, err := j.Open(ctx, jitney.Durable{Name: "s", From: jitney.FromBeginning(), Window: 100})
		must(t, err)
		end, err := j.End(ctx)
		must(t, err)
		for through := int64(0); through < end; {
			var entries []jitney.Entry
			entries, through, err = c.Next(ctx, 100)
			must(t, err)
			for _, e := range entries {
				n := e.Envelope.Event.(Counted).N
				given, crashes = append(given, n), append(crashes, e.Crashes)
				if !survives(n) {
					return given, crashes
				}
				c.Settle(e.Position, jitney.Settled)
			}
		}
		must(t, c.Close(ctx))
		return given, crashes
	}
	j, err := d.Open(types())
	must(t, err)
	for n := range 6 {
		must(t, j.Append(ctx, sealed(Counted{"k", n})))
	}
	must(t, j.Close(ctx))
	for i, want := range []string{
		"[0 1 2] [0 0 0]", // 2 kills it; nothing is known yet
		"[2] [1]",         // it is the first that may have been in flight, and it is known now that it was
		"[2] [2]",
	} {
		given, crashes := life(func(n int) bool { return n != 2 })
		if got := fmt.Sprint(given, crashes); got != want {
			t.Errorf("life %d was given %s, expected %s", i, got, want)
		}
	}
	given, crashes := life(func(int) bool { return true }) // the bus makes a dead letter of what has three
	if got := fmt.Sprint(given, crashes); got != "[2 3 4 5] [3 1 1 1]" {
		t.Errorf("at last it was given %s", got)
	}
	if given, _ := life(func(int) bool { return true }); len(given) > 0 {
		t.Errorf("given again: %v", given)
	}
}

// sealed is e in an envelope.
func sealed(e jitney.Event) *jitney.Envelope {
	return &jitney.Envelope{ID: uuid.Must(uuid.NewV7()), Type: e.EventType(), Version: 1, Time: time.Now(), Event: e}
}

// What is published in a transaction under an ID that is stored already is stored once.
func outboxDuplicates(t *testing.T, d *Database) {
	j := open(t, d)
	l := listen(j)
	env := sealed(Counted{"k", 1})
	must(t, j.Append(t.Context(), env))
	other := *env
	other.Event = Counted{"k", 99}
	in := func(envs ...*jitney.Envelope) {
		must(t, j.Tx(t.Context(), func(ctx context.Context, _ *sql.Tx) error { return j.Append(ctx, envs...) }))
	}
	in(env, sealed(Counted{"k", 2}))
	in(&other)
	in(sealed(Counted{"k", 3}))
	must(t, l.bus.Flush(t.Context()))
	if got := fmt.Sprint(l.of("k")); got != "[1 2 3]" {
		t.Errorf("heard %s", got)
	}
	must(t, l.bus.Shutdown(t.Context()))
}

// The schema can be made by hand, and again.
func schema(t *testing.T, d *Database) {
	for _, statement := range strings.Split(d.Schema, ";\n") {
		if strings.TrimSpace(statement) != "" {
			must(t, d.Execute(t.Context(), statement))
		}
	}
	j := open(t, d)
	l := listen(j)
	must(t, l.bus.Publish(t.Context(), Counted{"k", 1}))
	must(t, l.bus.Flush(t.Context()))
	if got := l.of("k"); len(got) != 1 {
		t.Errorf("heard %v", got)
	}
	must(t, l.bus.Shutdown(t.Context()))
}
