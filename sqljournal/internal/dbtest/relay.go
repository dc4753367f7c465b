package dbtest

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
)

const relayEnv = "JITNEY_RELAY_CHILD"

// RelayChild is the child of RelayKills: a process that moves what is in the outbox, until it is killed or its parent
// ends. It returns at once in any other process.
func RelayChild(at func(dsn, prefix string) *Database) {
	dsn, prefix, is := strings.Cut(os.Getenv(relayEnv), "\n")
	if !is {
		return
	}
	if _, err := at(dsn, prefix).Open(types()); err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
	fmt.Println("open")
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// RelayKills runs the test of two processes that move events from the outbox to the log, one of which is killed: while it
// moves, or waits to be the next that does. Each event is stored once, and those of a key in the order of their commits.
func RelayKills(t *testing.T, d *Database, dsn string) {
	j, err := d.OpenWith(types(), sqljournal.WithPollInterval(time.Hour)) // moves nothing in WithTx
	must(t, err)
	db, err := d.Pool()
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	w := &outboxWriter{j, db, make(map[string]int)}
	relay := relayProcess(t, d, dsn)
	const kills = 4
	for n := range kills {
		next := relayProcess(t, d, dsn)
		rival, err := db.BeginTx(context.Background(), nil)
		must(t, err)
		t.Cleanup(func() { _ = rival.Rollback() }) // before the tables are dropped
		e := sealed(Counted{"single", w.written["single"] + 1})
		d.occupy(t, rival, 1<<40, e.ID)
		w.commit(t, "batch", 200)
		must(t, w.append(e))
		w.commit(t, "batch", 200)
		d.awaitWaiting(t, db, "log", 1)  // one of the two has moved 200, and not committed yet
		d.awaitWaiting(t, db, "head", 1) // the other one is next
		w.commit(t, "late", 10)
		if n%2 == 0 {
			kill(t, relay)
		}
		must(t, rival.Rollback())
		if n%2 == 1 {
			<-time.After(rand.N(5 * time.Millisecond)) // it may be at its commit, or further
			kill(t, relay)
		}
		relay = next
	}
	d.checkMoved(t, db, w.written)
	must(t, j.Close(t.Context()))
}

// checkMoved waits until all that was written is stored, and looks at its order.
func (d *Database) checkMoved(t *testing.T, db *sql.DB, written map[string]int) {
	t.Helper()
	total := 0
	for _, n := range written {
		total += n
	}
	for deadline := time.Now().Add(time.Minute); d.stored(t, db) < total; <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d have been moved", d.stored(t, db), total)
		}
	}
	seen := make(map[string]int)
	for _, e := range everything(t, open(t, d)) {
		if seen[e.Key]++; e.N != seen[e.Key] {
			t.Fatalf("%s: number %d is stored as number %d", e.Key, e.N, seen[e.Key])
		}
	}
	if fmt.Sprint(seen) != fmt.Sprint(written) {
		t.Errorf("stored: %v, committed: %v", seen, written)
	}
}

// outboxWriter commits events to the outbox, and leaves it to others to move them.
type outboxWriter struct {
	j       *sqljournal.Journal
	db      *sql.DB
	written map[string]int // how many of each key
}

// commit commits the next n events of key.
func (w *outboxWriter) commit(t *testing.T, key string, n int) {
	t.Helper()
	envs := make([]*jitney.Envelope, n)
	for i := range envs {
		envs[i] = sealed(Counted{key, w.written[key] + i + 1})
	}
	must(t, w.append(envs...))
}

func (w *outboxWriter) append(envs ...*jitney.Envelope) error {
	ctx := context.Background()
	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	if err := w.j.Append(w.j.WithTx(ctx, tx), envs...); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	for _, env := range envs {
		w.written[env.Event.(Counted).Key]++
	}
	return nil
}

// relayProcess starts a child, and returns when it has opened the journal.
func relayProcess(t *testing.T, d *Database, dsn string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), relayEnv+"="+dsn+"\n"+d.Prefix)
	cmd.Stderr = os.Stderr
	_, err = cmd.StdinPipe() // it ends with this process
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = cmd.Wait()
		t.Fatalf("the child does not open the journal: %q, %v", line, err)
	}
	return cmd
}

// kill kills a process, and waits until it is no more.
func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	must(t, cmd.Process.Kill())
	_ = cmd.Wait() // it says that it was killed
}
