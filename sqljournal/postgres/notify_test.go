package postgres_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
	"github.com/jitney-go/jitney/sqljournal/postgres"
	"github.com/jitney-go/jitney/wire"
)

type told struct{ N int }

func (told) EventType() string { return "postgres.told" }

// lonely is an event that nobody handles.
type lonely struct{}

func (lonely) EventType() string { return "postgres.lonely" }

// process is one of several that share a journal, which would poll it once an hour.
type process struct {
	j      *sqljournal.Journal
	b      *jitney.Bus
	heard  chan int
	stuck  chan struct{} // closed when the outbox was not moved
	notice sync.Once
}

// Write takes note of what is logged.
func (p *process) Write(line []byte) (int, error) {
	if strings.Contains(string(line), "outbox not moved") {
		p.notice.Do(func() { close(p.stuck) })
	}
	return len(line), nil
}

func start(t *testing.T, dsn, prefix, name string) *process {
	t.Helper()
	types := wire.NewTypes()
	wire.Register[told](types)
	p := &process{heard: make(chan int, 100), stuck: make(chan struct{})}
	var err error
	p.j, err = postgres.Open(t.Context(), dsn, types, sqljournal.WithPrefix(prefix), sqljournal.WithPollInterval(time.Hour),
		sqljournal.WithLease(2*time.Second), sqljournal.WithLogger(slog.New(slog.NewTextHandler(p, nil))), postgres.WithNotify())
	must(t, err)
	p.b = jitney.New(jitney.WithJournal(p.j), jitney.WithLogger(slog.New(slog.DiscardHandler)))
	jitney.Subscribe(p.b, name, func(_ context.Context, e told) error { p.heard <- e.N; return nil }, jitney.WithStart(jitney.FromBeginning()))
	return p
}

func (p *process) end(t *testing.T) {
	t.Helper()
	must(t, p.b.Shutdown(t.Context()))
	must(t, p.j.Close(t.Context()))
}

func (p *process) hears(t *testing.T, n int) {
	t.Helper()
	select {
	case got := <-p.heard:
		if got != n {
			t.Errorf("heard %d, expected %d", got, n)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("%d was not heard", n)
	}
}

func TestWhatAnotherProcessPublishesIsHeardWithoutAPoll(t *testing.T) {
	dsn, prefix := server.Address(t), server.Prefix(t)
	db, err := sql.Open("pgx", dsn)
	must(t, err)
	defer db.Close()
	first, second := start(t, dsn, prefix, "first"), start(t, dsn, prefix, "second")
	n := 0
	both := func(publish func(e told) error) {
		t.Helper()
		n++
		must(t, publish(told{n}))
		first.hears(t, n)
		second.hears(t, n)
	}
	everyWay := func() {
		t.Helper()
		both(func(e told) error { return first.b.Publish(t.Context(), e) })
		both(func(e told) error { return second.b.Publish(t.Context(), e) })
		both(func(e told) error {
			return first.j.Tx(t.Context(), func(ctx context.Context, _ *sql.Tx) error { return first.b.Publish(ctx, e) })
		})
		both(func(e told) error { // in a transaction of which the journal is not told that it has committed
			tx, err := db.BeginTx(t.Context(), nil)
			must(t, err)
			must(t, first.b.Publish(first.j.WithTx(t.Context(), tx), e))
			return tx.Commit()
		})
	}
	listening := listeners(t, db, prefix, 2, nil)
	everyWay()
	for range 3 {
		for pid := range listening {
			_, err := db.ExecContext(t.Context(), "SELECT pg_terminate_backend($1)", pid)
			must(t, err)
		}
		both(func(e told) error { return first.b.Publish(t.Context(), e) }) // while nobody listens, perhaps
		listening = listeners(t, db, prefix, 2, listening)
		everyWay()
	}
	first.end(t)
	listeners(t, db, prefix, 1, nil)
	second.end(t)
	listeners(t, db, prefix, 0, nil)
	stacks := make([]byte, 1<<20)
	if text := string(stacks[:runtime.Stack(stacks, true)]); strings.Contains(text, "sqljournal.(*Journal)") {
		t.Errorf("goroutines are left: %s", text)
	}
}

// listeners waits until so many connections listen, none of which is among old.
func listeners(t *testing.T, db *sql.DB, prefix string, n int, old map[int]bool) map[int]bool {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; <-time.After(10 * time.Millisecond) {
		now, again := make(map[int]bool), false
		rows, err := db.QueryContext(t.Context(), "SELECT pid FROM pg_stat_activity WHERE query = $1", "LISTEN "+prefix+"log")
		must(t, err)
		for rows.Next() {
			var pid int
			must(t, rows.Scan(&pid))
			now[pid] = true
			again = again || old[pid]
		}
		must(t, rows.Err())
		if len(now) == n && !again {
			return now
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections listen, expected %d others than %v", len(now), n, old)
		}
	}
}

func TestALongPollIntervalDelaysNothingElse(t *testing.T) {
	dsn, prefix := server.Address(t), server.Prefix(t)
	db, err := sql.Open("pgx", dsn)
	must(t, err)
	defer db.Close()
	first := start(t, dsn, prefix, "shared")
	must(t, first.b.Publish(t.Context(), told{1}))
	first.hears(t, 1)
	must(t, first.b.Flush(t.Context()))
	must(t, first.b.Publish(t.Context(), lonely{}))
	for deadline := time.Now().Add(30 * time.Second); ; <-time.After(10 * time.Millisecond) {
		places, err := first.j.Places(t.Context())
		must(t, err)
		if fmt.Sprint(places) == "[{shared 2 0 0 0 0}]" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("what was not for a subscriber is not behind it: %+v", places)
		}
	}

	second := start(t, dsn, prefix, "shared")
	first.end(t)
	must(t, second.b.Publish(t.Context(), told{2})) // its subscriber has waited for the other's place
	second.hears(t, 2)

	_, err = db.ExecContext(t.Context(), fmt.Sprintf(`INSERT INTO %soutbox (batch, parts, id, type, version, at, attributes, data, crc) `+
		`SELECT 1, 1, id, type, 1, at, 'damaged', data, crc FROM %slog WHERE pos = 1`, prefix, prefix))
	must(t, err)
	must(t, second.j.Tx(t.Context(), func(ctx context.Context, _ *sql.Tx) error { return second.b.Publish(ctx, told{3}) }))
	<-second.stuck
	_, err = db.ExecContext(t.Context(), "DELETE FROM "+prefix+"outbox WHERE batch = 1")
	must(t, err)
	second.hears(t, 3)
	second.end(t)
}

func TestWhoListensNeedsAConnectionForIt(t *testing.T) {
	db, err := sql.Open("pgx", server.Address(t))
	must(t, err)
	defer db.Close()
	db.SetMaxOpenConns(2)
	_, err = postgres.OpenDB(t.Context(), db, wire.NewTypes(), sqljournal.WithPrefix(server.Prefix(t)), postgres.WithNotify())
	if !strings.Contains(fmt.Sprint(err), "three") {
		t.Errorf("opened with two connections: %v", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
