package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/examples/orderflow/shop"
	"github.com/jitney-go/jitney/examples/orderflow/tally"
	"github.com/jitney-go/jitney/sqljournal"
)

// What -journal says but for the name of a place.
const (
	inMemory  = "memory"
	temporary = ""              // a SQLite file in a temporary folder
	inProcess = "nats:embedded" // a NATS server in this process; behind a colon, its folder
)

// store is where a run keeps its events and what its modules know. The zero value is memory.
type store struct {
	events *engine             // nil: memory
	books  *sqljournal.Journal // sums, marks and dead letters: beside the events, if these are in a database
	sums   tally.Database
	outbox *jitney.Bus // from the books to the events; nil if they are in one place
	temp   string      // to be removed when all went well
	again  string      // the flags that go on with it
}

// openStore opens what -journal and -books say, and makes it if it is not there.
func openStore(ctx context.Context, journal, books string, stderr io.Writer) (s *store, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	s = new(store)
	switch {
	case isEngine(journal):
		err = s.onEngine(ctx, journal, books, stderr)
	case books != "":
		err = errors.New("-books goes with nats: and kafka: alone; elsewhere the books are where the events are")
	case journal != inMemory:
		err = s.onDatabase(ctx, journal)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("-journal %s: %w", hidden(journal), err), s.end(ctx, true))
	}
	return s, nil
}

// isEngine reports whether -journal names one that has no transactions for the books.
func isEngine(journal string) bool {
	return journal == inProcess || strings.HasPrefix(journal, inProcess+":") ||
		strings.HasPrefix(journal, "nats://") || strings.HasPrefix(journal, "kafka://")
}

// onDatabase has events and books in one database.
func (s *store) onDatabase(ctx context.Context, name string) (err error) {
	if name == temporary {
		if err := s.makeTemp(); err != nil {
			return err
		}
		name = "sqlite:" + filepath.Join(s.temp, "journal.db")
	}
	s.again = "-journal " + name
	if s.books, s.sums, err = openDatabase(ctx, name); err == nil {
		s.events = &engine{s.books, allDone(s.books.Places), func(context.Context) error { return nil }} // the books are closed
	}
	if errors.Is(err, errNoDatabase) {
		return errors.New("it is none of memory, sqlite:FILE, postgres://…, mysql://…, nats:embedded, nats://… and kafka://…")
	}
	return err
}

// onEngine has the events on an engine, and the books in a database beside it.
func (s *store) onEngine(ctx context.Context, name, books string, stderr io.Writer) (err error) {
	folder := strings.TrimPrefix(strings.TrimPrefix(name, inProcess), ":")
	kept := strings.HasPrefix(name, inProcess+":") && folder != ""
	if !kept {
		if err := s.makeTemp(); err != nil {
			return err
		}
		folder = s.temp
	}
	if strings.HasPrefix(name, inProcess) {
		name = inProcess + ":" + folder
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	books = cmp.Or(books, "sqlite:"+filepath.Join(folder, "books.db"))
	s.again = "-journal " + name + " -books " + books
	if s.events, err = openEngine(ctx, name, filepath.Join(folder, "events"), stderr); err != nil {
		return err
	}
	if s.books, s.sums, err = openDatabase(ctx, books); err != nil {
		return fmt.Errorf("-books %s: %w", hidden(books), err)
	}
	return nil
}

func (s *store) makeTemp() (err error) {
	s.temp, err = os.MkdirTemp("", "orderflow-")
	return err
}

// settled waits until every subscriber has settled everything, also what another process has open: one that was killed,
// and whose places are free after the lease.
func (s *store) settled(ctx context.Context) error {
	if s.events == nil {
		return nil
	}
	for {
		done, err := s.still(ctx)
		if done || err != nil {
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// still reports whether there was a moment at which nobody had anything to do: all were done, and there was nothing new
// afterwards, neither on the engine nor on its way there.
func (s *store) still(ctx context.Context) (bool, error) {
	before, err := s.ends(ctx)
	if err != nil {
		return false, err
	}
	for _, done := range []func(context.Context) (bool, error){allDone(s.books.Places), s.events.done} {
		if ok, err := done(ctx); !ok || err != nil {
			return false, err
		}
	}
	after, err := s.ends(ctx)
	return err == nil && after == before, err
}

func (s *store) ends(ctx context.Context) (ends [2]int64, err error) {
	for i, j := range []jitney.Journal{s.books, s.events} {
		if ends[i], err = j.End(ctx); err != nil {
			break
		}
	}
	return ends, err
}

// equip has a shop keep in s what it is to remember.
func (s *store) equip(c *shop.Config) []jitney.Option {
	if s.events == nil {
		return nil
	}
	c.Sums, c.Inbox, c.Letters = s.sums.Of, s.books.Inbox(), s.books.DeadLetters()
	if s.events.Journal != jitney.Journal(s.books) {
		s.outbox = openOutbox(s.books, s.events, quiet)
		c.Outbox = s.outbox
	}
	return []jitney.Option{jitney.WithJournal(s.events)}
}

// end closes s. If nothing is left to do, a temporary folder is removed.
func (s *store) end(ctx context.Context, done bool) error {
	err := s.closeOutbox(ctx)
	if s.events != nil {
		err = errors.Join(err, s.events.close(ctx))
	}
	if s.books != nil {
		err = errors.Join(err, s.books.Close(ctx))
	}
	if s.temp != "" && done && err == nil {
		err = os.RemoveAll(s.temp)
	}
	return err
}
