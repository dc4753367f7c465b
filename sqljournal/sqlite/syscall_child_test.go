package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
	"github.com/jitney-go/jitney/sqljournal/sqlite"
)

const syscallEnv = "JITNEY_SYSCALL_CHILD"

// classOf says which of the package's errors err is.
func classOf(err error) string {
	switch {
	case errors.Is(err, jitney.ErrIndeterminate):
		return "indeterminate"
	case errors.Is(err, sqljournal.ErrFull):
		return "full"
	case errors.Is(err, sqljournal.ErrIO):
		return "io"
	}
	return "unclear: " + strconv.Quote(err.Error())
}

// syscallChild publishes one event after the other until so many in a row have met no error, and says before and after
// each what it does. What may have been stored it forwards until it is; what was refused it gives up.
func syscallChild(dir string) {
	number := func(name string) (n int) {
		n, _ = strconv.Atoi(os.Getenv("JITNEY_SYSCALL_" + name))
		return n
	}
	say := func(text string, args ...any) { fmt.Fprintf(os.Stdout, text+"\n", args...) } // one write
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	j := opened(dir, say)
	if pages := number("CHECKPOINT"); pages > 0 { // so that a short life has checkpoints
		if err := j.Exec(ctx, fmt.Sprint("PRAGMA wal_autocheckpoint = ", pages)); err != nil {
			say("error checkpoint: %q", err)
		}
	}
	var sealed *jitney.Envelope
	b := jitney.New(jitney.WithJournal(j), jitney.WithLogger(slog.New(slog.NewTextHandler(os.Stderr, nil))),
		jitney.WithPublishHook(func(_ context.Context, env *jitney.Envelope) error { sealed = env; return nil }))
	var mu sync.Mutex
	seen := make(map[int]bool)
	jitney.Subscribe(b, "s", func(_ context.Context, e numbered) error {
		mu.Lock()
		defer mu.Unlock()
		seen[e.N] = true
		return nil
	}, jitney.WithStart(jitney.FromBeginning()))
	var acked []int
	for n, well := number("FIRST"), 0; well < number("EVENTS") && ctx.Err() == nil; n++ {
		say("try %d", n)
		err := b.Publish(ctx, numbered{N: n})
		well++
		for ; err != nil; err = b.Forward(ctx, sealed) {
			well = 0
			say("error %s", classOf(err))
			if !errors.Is(err, jitney.ErrIndeterminate) {
				break
			}
			say("doubt %d", n)
		}
		if err != nil {
			say("refused %d", n)
			continue
		}
		acked = append(acked, n)
		say("ack %d", n)
	}
	if ctx.Err() != nil {
		say("error it is still not well after a minute")
	}
	if err := b.Flush(ctx); err != nil {
		say("error %q", err)
	}
	for _, end := range []func(context.Context) error{b.Shutdown, j.Close} { // a thread that is new may fail now
		if err := end(ctx); err != nil {
			say("unclosed %q", err)
		}
	}
	handled := 0
	for _, n := range acked {
		if seen[n] {
			handled++
		}
	}
	say("handled %d", handled)
	say("end .")
	cancel()
	os.Exit(0)
}

// opened opens the journal in dir, again if it has to.
func opened(dir string, say func(string, ...any)) *sqlite.Journal {
	for {
		j, err := openAt(filepath.Join(dir, "journal.db"))
		if err == nil {
			return j
		}
		say("unopened %q", err)
	}
}
