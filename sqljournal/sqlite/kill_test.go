package sqlite_test

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// workload is a bus on the journal in dir with its subscribers. Each writes down what it handles, in a file that
// outlives the process.
func workload(dir string) (*jitney.Bus, *sqlite.Journal, error) {
	j, err := sqlite.Open(context.Background(), filepath.Join(dir, "journal.db"), numberedTypes())
	if err != nil {
		return nil, nil, err
	}
	b := jitney.New(jitney.WithJournal(j), jitney.WithDeadLetters(j.DeadLetters()), jitney.WithLogger(slog.New(slog.NewTextHandler(os.Stderr, nil))))
	for _, s := range []struct {
		name string
		opts []jitney.SubscribeOption
	}{
		{"single", nil},
		{"keyed", []jitney.SubscribeOption{jitney.WithWorkers(4)}},
		{"failing", []jitney.SubscribeOption{jitney.WithWorkers(4), jitney.WithRetry(jitney.Retry{Attempts: 100, Base: time.Millisecond, Max: 5 * time.Millisecond})}},
	} {
		f, err := os.OpenFile(filepath.Join(dir, s.name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, nil, err
		}
		jitney.Subscribe(b, s.name, func(_ context.Context, e numbered) error {
			if s.name == "failing" && rand.IntN(10) == 0 {
				return io.ErrUnexpectedEOF
			}
			_, err := fmt.Fprintln(f, e)
			return err
		}, append(s.opts, jitney.WithStart(jitney.FromBeginning()))...)
	}
	return b, j, nil
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
	for life := range *kills {
		acked = append(acked, live(t, dir, life, time.Duration(20+rand.IntN(180))*time.Millisecond)...)
	}

	b, j, err := workload(dir)
	require.NoError(t, err)
	require.NoError(t, b.Flush(t.Context()))
	require.NoError(t, b.Shutdown(t.Context()))
	stored := all(t, j)
	letters, err := j.DeadLetters().List(t.Context(), jitney.DeadLetterFilter{})
	require.NoError(t, err)
	require.NoError(t, j.Close(t.Context()))

	in := make(map[numbered]bool)
	next := make(map[string]int)
	for _, e := range stored {
		assert.False(t, in[e], "%v is stored twice", e)
		in[e] = true
		assert.Equal(t, next[e.EventKey()], e.N, "of publisher %s", e.EventKey())
		next[e.EventKey()]++
	}
	lost := 0
	for _, e := range acked {
		if !in[e] {
			lost++
		}
	}
	assert.Zero(t, lost, "acknowledged and lost")

	for _, name := range []string{"single", "keyed", "failing"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		seen := make(map[numbered]bool)
		condemned := make(map[numbered]bool) // in flight at three kills in a row: G30
		for _, l := range letters {
			if l.Subscriber == name {
				require.Equal(t, jitney.ReasonCrashed, l.Reason)
				condemned[l.Envelope.Event.(numbered)] = true
			}
		}
		last := make(map[string]int)
		again, inversions := 0, 0
		for line := range strings.Lines(string(text)) {
			e := parse(t, line)
			if seen[e] {
				again++
				continue
			}
			seen[e] = true
			due := e
			for due.N = last[e.EventKey()]; condemned[due] && due != e; due.N++ {
			}
			if due != e {
				inversions++
			}
			last[e.EventKey()] = e.N + 1
		}
		handled := len(seen)
		for e := range condemned {
			if !seen[e] { // it had been handled, perhaps, and not been settled
				handled++
			}
		}
		assert.Equal(t, len(stored), handled, "%s has handled everything, but for what became a dead letter", name)
		assert.Zero(t, inversions, "%s: out of order within a publisher", name)
		// What was settled since the last write: 64, or 50 ms; and what was in the handlers.
		assert.LessOrEqual(t, again, *kills*200, "%s has handled again", name)
		t.Logf("%s: %d handled, %d of them again after %d kills, %d condemned", name, len(seen), again, *kills, len(condemned))
	}
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
