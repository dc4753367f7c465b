package sqlite_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
)

var syscalls = flag.Int("syscalls", 4, "at how many calls of each system call TestG18KilledAtEachSystemCall kills its child")

// report is what a child of these tests has said before it ended.
type report struct {
	tried, acked, refused map[int]bool // events, by their numbers
	doubted               int          // of which it was not known whether they were stored
	unopened              int          // times that the journal did not open
	handled               int          // acknowledged events that a subscriber has had
	classes               map[string]int
	finished, killed      bool
	complaints            string
}

// inject is what strace is to do with the system calls of a child; nothing if it is "".
type inject string

// traced runs a child on the journal in dir under strace. Only calls that are about the journal's files count, and are
// interfered with: strace counts them for each thread on its own, and the committer is now on one and now on another.
func traced(t *testing.T, dir, log, calls string, what inject, env ...string) report {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	self, err := os.Executable()
	require.NoError(t, err)
	args := []string{"-f", "-qq", "-xx", "-s", "10000000", "-o", log, "-e", "signal=none", "-e", "trace=" + calls, "-P", dir}
	for _, suffix := range []string{"", "-wal", "-shm", "-journal", ".mark", ".owner"} {
		args = append(args, "-P", filepath.Join(dir, "journal.db"+suffix))
	}
	if what != "" {
		args = append(args, "-e", "inject="+string(what))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, strace, append(args, self)...)
	cmd.Env = append(os.Environ(), append(env, syscallEnv+"="+dir)...)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	err = cmd.Run()
	require.NoError(t, ctx.Err(), "%s: the child does not end: %s %s", what, out.String(), complaints.String())
	r := heard(t, out.String())
	r.complaints = complaints.String()
	if err != nil && strings.Contains(r.complaints, "ptrace") {
		t.Skipf("strace may not trace here: %s", r.complaints)
	}
	r.killed = err != nil && strings.Contains(err.Error(), "killed")
	require.True(t, r.killed || r.finished && err == nil, "%s: %v: %s %s", what, err, out.String(), r.complaints)
	return r
}

// heard reads what a child has said. A part of a line says nothing.
func heard(t *testing.T, out string) report {
	r := report{tried: make(map[int]bool), acked: make(map[int]bool), refused: make(map[int]bool), classes: make(map[string]int)}
	for line := range strings.Lines(out) {
		word, rest, whole := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !strings.HasSuffix(line, "\n") || !whole {
			continue
		}
		number, _ := strconv.Atoi(strings.Fields(rest)[0])
		switch word {
		case "try":
			r.tried[number] = true
		case "ack":
			r.acked[number] = true
		case "refused":
			r.refused[number] = true
		case "doubt":
			r.doubted++
		case "unopened":
			r.unopened++
		case "error":
			r.classes[rest]++
		case "unclosed": // and said so
		case "handled":
			r.handled = number
		case "end":
			r.finished = true
		default:
			t.Errorf("the child said %q", line)
		}
	}
	return r
}

// judge opens the journal of a child that is dead, and says what is wrong with it: every acknowledged event is there
// once, in the order of their numbers, with none that was refused or never published, and it takes more.
func judge(t *testing.T, dir string, r report) (wrong []string) {
	j, err := openAt(filepath.Join(dir, "journal.db"))
	if err != nil {
		return []string{err.Error()}
	}
	defer func() { assert.NoError(t, j.Close(context.Background())) }()
	in := make(map[int]bool)
	last := -1
	for _, e := range all(t, j) {
		switch {
		case in[e.N]:
			wrong = append(wrong, fmt.Sprint(e.N, " is stored twice"))
		case e.N < last:
			wrong = append(wrong, fmt.Sprint(e.N, " comes after ", last))
		case r.refused[e.N]:
			wrong = append(wrong, fmt.Sprint(e.N, " was refused"))
		case !r.tried[e.N]:
			wrong = append(wrong, fmt.Sprint(e.N, " was never published"))
		}
		in[e.N] = true
		last = e.N
	}
	for n := range r.acked {
		if !in[n] {
			wrong = append(wrong, fmt.Sprint(n, " was acknowledged"))
		}
	}
	b := jitney.New(jitney.WithJournal(j), jitney.WithLogger(slog.New(slog.DiscardHandler)))
	defer func() { assert.NoError(t, b.Shutdown(context.Background())) }()
	before := len(all(t, j))
	if err := b.Publish(t.Context(), numbered{N: last + 1}); err != nil {
		return append(wrong, err.Error())
	}
	if list := all(t, j); len(list) != before+1 || list[before].N != last+1 {
		wrong = append(wrong, "a new event is not the last one")
	}
	return wrong
}

// The system calls that modernc.org/sqlite and the journal make for a file, but for those that only look.
const fileCalls = "pwrite64,write,fsync,ftruncate,open,openat,close,unlink,mmap,fcntl,flock,pread64"

var tracedCall = regexp.MustCompile(`(?m)^(\d+) +(\w+)\(`)

// TestG18KilledAtEachSystemCall kills a child when it makes a system call for the N-th time, and another one that has
// to recover from that in the same way.
func TestG18KilledAtEachSystemCall(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	env := []string{"JITNEY_SYSCALL_EVENTS=40", "JITNEY_SYSCALL_CHECKPOINT=20"}
	whole := traced(t, t.TempDir(), log, fileCalls, "", env...)
	require.Len(t, whole.acked, 40)
	text, err := os.ReadFile(log)
	require.NoError(t, err)
	threads := make(map[string]map[string]int)
	most := make(map[string]int) // calls of one thread
	for _, m := range tracedCall.FindAllStringSubmatch(string(text), -1) {
		if threads[m[2]] == nil {
			threads[m[2]] = make(map[string]int)
		}
		threads[m[2]][m[1]]++
		most[m[2]] = max(most[m[2]], threads[m[2]][m[1]])
	}

	states, killed, bad := 0, 0, 0
	for _, call := range strings.Split(fileCalls, ",") {
		points := most[call]
		require.Positive(t, points, "%s is not called", call)
		for i := range min(points, *syscalls) {
			n := 1 + i*points/min(points, *syscalls)
			dir := t.TempDir()
			r := traced(t, dir, log, call, inject(fmt.Sprintf("%s:signal=SIGKILL:when=%d", call, n)), env...)
			states++
			if r.killed {
				killed++
			}
			second := traced(t, dir, log, call, inject(fmt.Sprintf("%s:signal=SIGKILL:when=%d", call, 1+n/3)),
				append(env, fmt.Sprint("JITNEY_SYSCALL_FIRST=", len(r.tried)))...)
			if second.killed {
				killed++
			}
			for n := range second.tried {
				r.tried[n] = true
			}
			for n := range second.acked {
				r.acked[n] = true
			}
			assert.Empty(t, second.classes)
			assert.Empty(t, r.classes)
			if wrong := judge(t, dir, r); len(wrong) > 0 {
				bad++
				t.Errorf("killed at %s number %d: %s", call, n, strings.Join(wrong, "; "))
			}
		}
	}
	assert.Greater(t, killed, states, "of two children each")
	t.Logf("%d states of two deaths each, %d killed of %d, %d bad; calls of the busiest thread: %v", states, killed, 2*states, bad, most)
}
