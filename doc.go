// Package jitney is an event bus that lives inside a Go process: modules of a monolith tell each other
// facts ("an order was placed") without knowing each other.
//
// What it guarantees, in short (README.md has the whole list, and the test of each):
//
//   - Every delivery that a subscriber's queue has accepted ends as handled, skipped, dead or dropped by
//     the policy that was chosen, or is named by Shutdown or Close, or, with a journal, stays there for the next
//     start; the counters of [Subscription.Stats] balance at every moment.
//   - One subscriber sees one publisher's events in the order of Publish; with [WithWorkers] that holds
//     for the events of one key. A retry keeps its key's place.
//   - A subscriber that is slow, fails, panics or hangs runs no other again, and holds up no other until
//     its own queue is full.
//   - What cannot be handled now waits, when it is told to: an outage opens a circuit breaker
//     ([WithBreaker]) instead of turning events into dead letters, and what follows a dead letter of its key
//     can wait for it ([WithParking]).
//   - Memory is bounded by the options, and a handler that publishes never waits for a queue.
//   - A handler may take many events in one call ([SubscribeBatch]); each has its own outcome all the same.
//   - Shutdown lets what was accepted settle, with what handlers publish meanwhile, and names what it
//     could not wait for, unless a journal keeps that.
//   - With a journal ([WithJournal]) Publish returns when events are stored, and subscriptions go on where they
//     were, whatever has happened to the process.
//
// What a module must know at once it asks for: [Ask] has one answerer give the answer ([Answer]), in the asker's
// goroutine, and its failure is the asker's. A subscriber that comes late can begin with the last event of each key
// ([WithRetained], [WithSticky]); one that wants some events alone says which ([WithFilter]). Who publishes can ask
// whether anybody listens ([Listened]), and have an event published later ([Bus.Schedule]) or by a timetable
// ([Bus.Recur]). A recorder ([WithRecorder]) is told of each publication and attempt: package why makes of that why
// something ran, package flowmap which way all events go.
//
// What it does not: without a journal a queue is memory, and what it holds ends with the process. There is no order
// across keys, nor across publishers that do not wait for each other. A handler runs at least once, so it may
// run again; [WithIdempotency] keeps a success from being repeated.
//
// Modules see no more of each other than this:
//
//	type Placed struct{ OrderID string; Cents int64 }
//
//	func (Placed) EventType() string  { return "orders.placed" } // outlives the Go type's name
//	func (p Placed) EventKey() string { return p.OrderID }       // same key, same order
//
//	b := jitney.New()
//
//	jitney.Subscribe(b, "billing", func(ctx context.Context, e orders.Placed) error {
//		return charge(ctx, e.OrderID, e.Cents)
//	}, jitney.WithRetry(jitney.Retry{Attempts: 5}))
//
//	err := b.Publish(ctx, orders.Placed{OrderID: "1", Cents: 4200})
//	// …
//	err = errors.Join(err, b.Shutdown(ctx)) // nothing accepted is lost, or it is named in err
package jitney
