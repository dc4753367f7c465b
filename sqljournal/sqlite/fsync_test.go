package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
)

// What an fsync that fails has not written, the kernel may take for written. These tests look at what a power failure
// leaves after that: what is acknowledged was written again, and an fsync of that has not failed.

func TestG28AFailedFsyncIsNotBelievedLater(t *testing.T) {
	for _, window := range []string{"20..30", "10..30"} {
		log := filepath.Join(t.TempDir(), "log")
		written(t, t.TempDir(), log, syscallEnv, []string{"JITNEY_SYSCALL_EVENTS=8"}, "-e", "inject=fsync:error=EIO:when="+window)
		states, bad, first := parseTrace(t, log).failures(t, 500)
		assert.Zero(t, bad, "fsync %s: %s", window, first)
		t.Logf("fsync %s: %d states that a power failure can leave, %d without an acknowledged event", window, states, bad)
	}
}

func TestG28AFailedFsyncIsNotBelievedByTheNextProcess(t *testing.T) {
	dir, log := t.TempDir(), filepath.Join(t.TempDir(), "log")
	written(t, dir, log, syscallEnv, []string{"JITNEY_SYSCALL_EVENTS=10"},
		"-e", "inject=fsync:error=EIO:when=15+", "-e", "inject=open:signal=SIGKILL:when=20")
	written(t, dir, log, syscallEnv, []string{"JITNEY_SYSCALL_EVENTS=10", "JITNEY_SYSCALL_FIRST=1000"})
	states, bad, first := parseTrace(t, log).failures(t, 50)
	assert.Zero(t, bad, first)
	t.Logf("%d states that a power failure can leave, %d without an acknowledged event", states, bad)
}
