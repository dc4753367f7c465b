package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal/internal/dbtest"
)

const crashEnv = "JITNEY_CRASH_CHILD"

// crashChild handles what is in the journal. Event 5 ends the process.
func crashChild(dir string) {
	j, err := openAt(filepath.Join(dir, "journal.db"))
	if err != nil {
		panic(err)
	}
	b := jitney.New(jitney.WithJournal(j), jitney.WithDeadLetters(j.DeadLetters()))
	jitney.Subscribe(b, "s", func(_ context.Context, e numbered) error {
		if e.N == 5 {
			os.Exit(9)
		}
		fmt.Println("handled", e.N)
		return nil
	}, jitney.WithStart(jitney.FromBeginning()), jitney.WithWorkers(4))
	if err := b.Flush(context.Background()); err != nil {
		panic(err)
	}
	if err := b.Shutdown(context.Background()); err != nil {
		panic(err)
	}
	if err := j.Close(context.Background()); err != nil {
		panic(err)
	}
	os.Exit(0)
}

func TestG30CrashLoopsEnd(t *testing.T) {
	dbtest.CrashLoop(t, begin)

	dir := t.TempDir()
	j, err := openAt(filepath.Join(dir, "journal.db"))
	require.NoError(t, err)
	b := jitney.New(jitney.WithJournal(j))
	for n := range 10 {
		require.NoError(t, b.Publish(t.Context(), numbered{N: n, Publisher: n}))
	}
	require.NoError(t, b.Shutdown(t.Context()))
	require.NoError(t, j.Close(t.Context()))

	self, err := os.Executable()
	require.NoError(t, err)
	deaths := 0
	for ; deaths < 10; deaths++ {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), crashEnv+"="+dir)
		out, err := cmd.CombinedOutput()
		if err == nil {
			break
		}
		require.Equal(t, 9, cmd.ProcessState.ExitCode(), "%s", out)
	}
	assert.Equal(t, 3, deaths)
	j, err = openAt(filepath.Join(dir, "journal.db"))
	require.NoError(t, err)
	letters, err := j.DeadLetters().List(t.Context(), jitney.DeadLetterFilter{})
	require.NoError(t, err)
	require.Len(t, letters, 1)
	assert.Equal(t, jitney.ReasonCrashed, letters[0].Reason)
	assert.Equal(t, 5, letters[0].Envelope.Event.(numbered).N)
	assert.Contains(t, letters[0].LastError(), "3 times in a row")
	require.NoError(t, j.Close(t.Context()))
}
