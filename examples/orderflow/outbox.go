package main

import (
	"context"
	"log/slog"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/bridge"
	"github.com/jitney-go/jitney/sqljournal"
)

// openOutbox returns a bus into which modules publish whose events are on an engine without transactions. It is on
// their own database: what a handler publishes there with its context is committed together with its sums and the
// inbox's mark, or not at all, and then a bridge brings it to the engine. To publish to the engine itself would not do:
// a process that dies before it commits handles the delivery again, and what it had published would be there twice,
// under two IDs. From the bridge an event comes twice at most under its one ID, and the inbox knows that.
func openOutbox(books *sqljournal.Journal, e *engine, log *slog.Logger) *jitney.Bus {
	b := jitney.New(jitney.WithSource("orderflow"), jitney.WithJournal(books), jitney.WithLogger(log))
	ends := bridge.Ends{Bus: b, Here: "books", Engine: e, There: "engine", Logger: log}
	bridge.Out[jitney.Event](ends, "outbox",
		jitney.WithDeadLetters(books.DeadLetters()), jitney.WithWorkers(16), jitney.WithStart(jitney.FromBeginning()))
	return b
}

// closeOutbox ends the bridge. What has not crossed does so in the next run.
func (s *store) closeOutbox(ctx context.Context) error {
	if s.outbox == nil {
		return nil
	}
	return s.outbox.Shutdown(ctx)
}
