package sqlite_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal/sqlite"
	"github.com/jitney-go/jitney/wire"
)

var kills = flag.Int("kills", 20, "how often TestG21Resume kills its child")

const workers = 4

// inFlight is how many events a subscriber may handle again after one kill: what it has settled since its place was
// written last, and what its workers have in hand. 64 settlements, or 50 ms, have it written, and so does each commit of
// events (flushCount and flushAfter in sqljournal/settling.go). While the commit before is under way they may become more
// than that, but not here: eight publishers wait for that commit too, and after a death each event is given alone, with
// a commit before it (sqljournal/recovery.go).
const inFlight = 64 + workers

// numbered is the N-th event of a publisher in one life of the child.
type numbered struct{ Life, Publisher, N int }

func (numbered) EventType() string  { return "test.numbered" }
func (e numbered) EventKey() string { return fmt.Sprint(e.Life, "/", e.Publisher) }
func (e numbered) String() string   { return fmt.Sprint(e.Life, " ", e.Publisher, " ", e.N) }

func numberedTypes() *wire.Types {
	ts := wire.NewTypes()
	wire.Register[numbered](ts)
	return ts
}

const childEnv = "JITNEY_KILL_CHILD"

func TestMain(m *testing.M) {
	flag.Parse()
	if dir := os.Getenv(childEnv); dir != "" {
		child(dir)
	}
	if dir := os.Getenv(powerEnv); dir != "" {
		powerChild(dir)
	}
	if dir := os.Getenv(crashEnv); dir != "" {
		crashChild(dir)
	}
	if dir := os.Getenv(syscallEnv); dir != "" {
		syscallChild(dir)
	}
	os.Exit(m.Run())
}

// workload is a bus on the journal in dir with its subscribers.
func workload(dir string) (*jitney.Bus, *sqlite.Journal, error) {
	j, err := sqlite.Open(context.Background(), filepath.Join(dir, "journal.db"), numberedTypes())
	if err != nil {
		return nil, nil, err
	}
	b, err := subscribed(dir, j)
	return b, j, err
}

// subscribed is a bus on j with its subscribers. Each writes down what it handles, in a file that outlives the process;
// the last one in j's own.
func subscribed(dir string, j *sqlite.Journal) (*jitney.Bus, error) {
	b := jitney.New(jitney.WithJournal(j), jitney.WithDeadLetters(j.DeadLetters()), jitney.WithLogger(slog.New(slog.NewTextHandler(os.Stderr, nil))))
	for _, s := range []struct {
		name string
		opts []jitney.SubscribeOption
	}{
		{"single", nil},
		{"keyed", []jitney.SubscribeOption{jitney.WithWorkers(workers)}},
		{"failing", []jitney.SubscribeOption{jitney.WithWorkers(workers), jitney.WithRetry(jitney.Retry{Attempts: 100, Base: time.Millisecond, Max: 5 * time.Millisecond})}},
	} {
		f, err := os.OpenFile(filepath.Join(dir, s.name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		jitney.Subscribe(b, s.name, func(_ context.Context, e numbered) error {
			if s.name == "failing" && rand.IntN(10) == 0 {
				return io.ErrUnexpectedEOF
			}
			_, err := fmt.Fprintln(f, e)
			return err
		}, append(s.opts, jitney.WithStart(jitney.FromBeginning()))...)
	}
	return b, withInbox(b, j)
}

// withInbox subscribes what has its effect in the journal's file, with the inbox's mark. Nothing but the mark keeps the
// effect from being there twice: its table has no key.
func withInbox(b *jitney.Bus, j *sqlite.Journal) error {
	if err := j.Exec(context.Background(), `CREATE TABLE IF NOT EXISTS effects (event TEXT NOT NULL)`); err != nil {
		return err
	}
	jitney.Subscribe(b, "inbox", func(ctx context.Context, e numbered) error {
		_, err := j.TxOf(ctx).ExecContext(ctx, `INSERT INTO effects (event) VALUES (?)`, e.String())
		return err
	}, jitney.WithIdempotency(j.Inbox()), jitney.WithWorkers(workers), jitney.WithStart(jitney.FromBeginning()))
	return nil
}

// child publishes until it is killed, and tells its parent of each event that it has been told is stored.
func child(dir string) {
	b, _, err := workload(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
	var life int
	_, _ = fmt.Sscan(os.Getenv("JITNEY_KILL_LIFE"), &life)
	var wg sync.WaitGroup
	for p := range 8 {
		wg.Go(func() {
			for n := 0; ; n++ {
				e := numbered{life, p, n}
				if err := b.Publish(context.Background(), e); err != nil {
					fmt.Fprintln(os.Stderr, "child:", err)
					os.Exit(1)
				}
				fmt.Fprintf(os.Stdout, "%v\n", e) // one write
			}
		})
	}
	wg.Wait()
}

// live runs a child for a while, kills it, and returns what it was told is stored.
func live(t *testing.T, dir string, life int, lifetime time.Duration) (acked []numbered) {
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childEnv+"="+dir, fmt.Sprint("JITNEY_KILL_LIFE=", life))
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	require.NoError(t, cmd.Start())
	timer := time.AfterFunc(lifetime, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil { // a part of a line is no acknowledgement
			break
		}
		acked = append(acked, parse(t, line))
	}
	err = cmd.Wait()
	require.ErrorContains(t, err, "killed", "%s", complaints.String())
	return acked
}

func parse(t *testing.T, line string) (e numbered) {
	_, err := fmt.Sscan(line, &e.Life, &e.Publisher, &e.N)
	require.NoError(t, err, line)
	return e
}

func TestG21Resume(t *testing.T) {
	dir := t.TempDir()
	var acked []numbered
	noting := []string{"single", "keyed", "failing"}
	ends := make(map[string][]int64) // how long the subscribers' files were at each kill
	for life := range *kills {
		acked = append(acked, live(t, dir, life, time.Duration(20+rand.IntN(180))*time.Millisecond)...)
		for _, name := range noting {
			ends[name] = append(ends[name], length(t, filepath.Join(dir, name)))
		}
	}

	// What is left is handled here, where nothing dies, and nothing waits for the disk.
	db, err := sql.Open("sqlite", filepath.Join(dir, "journal.db")+"?_pragma=busy_timeout(5000)&_pragma=synchronous(OFF)&_txlock=immediate")
	require.NoError(t, err)
	j, err := sqlite.OpenDB(t.Context(), db, numberedTypes())
	require.NoError(t, err)
	require.NoError(t, j.Exec(t.Context(), "PRAGMA synchronous = OFF"))
	b, err := subscribed(dir, j)
	require.NoError(t, err)
	require.NoError(t, b.Flush(t.Context()))
	require.NoError(t, b.Shutdown(t.Context()))
	stored, effects := all(t, j), effects(t, j)
	letters, err := j.DeadLetters().List(t.Context(), jitney.DeadLetterFilter{})
	require.NoError(t, err)
	require.NoError(t, j.Close(t.Context()))
	require.NoError(t, db.Close())

	lost := checkStored(t, stored, acked)
	for _, name := range noting {
		d := diary{name, condemned(t, letters, name), livesIn(t, filepath.Join(dir, name), ends[name])}
		seen, again := d.check(t, stored)
		assert.LessOrEqual(t, slices.Max(again), inFlight, "%s has handled again after one kill", name)
		t.Logf("%s: %d handled, %d of them again after %d kills, %d at most after one, %d condemned",
			name, seen, sum(again), *kills, slices.Max(again), len(d.condemned))
	}
	d := diary{"inbox", condemned(t, letters, "inbox"), [][]numbered{effects}}
	seen, twice := d.check(t, stored)
	t.Logf("inbox: %d effects, %d of them twice after %d kills, %d condemned", seen, sum(twice), *kills, len(d.condemned))
	t.Logf("%d kills: %d acknowledged, %d stored, %d lost", *kills, len(acked), len(stored), lost)
}

// all reads the whole journal.
func all(t *testing.T, j *sqlite.Journal) (list []numbered) {
	c, err := j.Open(t.Context(), jitney.Durable{Name: "all" + t.Name(), From: jitney.FromBeginning()})
	require.NoError(t, err)
	end, err := j.End(t.Context())
	require.NoError(t, err)
	for through := int64(0); through < end; {
		var entries []jitney.Entry
		entries, through, err = c.Next(t.Context(), 1000)
		require.NoError(t, err)
		for _, e := range entries {
			require.NoError(t, e.Err)
			list = append(list, e.Envelope.Event.(numbered))
		}
	}
	require.NoError(t, c.Close(t.Context()))
	return list
}
