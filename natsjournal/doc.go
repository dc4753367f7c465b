// Package natsjournal keeps a bus's events in NATS JetStream: [jitney.Journal] on a stream, for processes that share
// their events. The package embedded beside it runs the server in the process.
//
//	types := wire.NewTypes()
//	wire.Register[orders.Placed](types)
//
//	j, err := natsjournal.Connect(ctx, "nats://localhost:4222", types, natsjournal.WithReplicas(3))
//	b := jitney.New(jitney.WithJournal(j))
//	// … subscribe, publish …
//	err = errors.Join(b.Shutdown(ctx), j.Close(ctx))
//
// # What it promises
//
// Order: all events have one order, the stream's; an event's position is its sequence there. A subscriber is given them
// in that order, and an event that waits for another attempt keeps its place before later ones of its key, also across
// restarts and from one process to another.
//
// Durable on return: Publish returns when the server has acknowledged, and that is worth what the server does before it
// does so. By itself it writes to the operating system, and syncs every two minutes: the death of the server's process
// loses nothing, a power failure loses what was not synced. With sync_interval: always in its configuration it syncs
// first, as the server of package embedded does. With three replicas a majority of the servers has the event, each in
// its memory at least: a power failure of one of them loses nothing, one of all at once may. No client can ask a server
// how it syncs. So a stream with fewer than three replicas is jitney.ErrNotDurable, unless the program says that it
// knows (WithServerSync), or does not care (AllowNotDurable). So is a stream whose settings let events go that were
// acknowledged; the error names the setting.
//
// De-duplication: an envelope that is published again is stored once, if that is within the stream's duplicate window
// (WithDuplicateWindow, 2 minutes). Another event under the same ID is jitney.ErrIDConflict within it. Beyond the window
// both are stored. What is indeterminate is to be published again before it ends.
//
// Several events at once are stored together, or none of them, by a server of version 2.12 or later, at most 1,000.
// Earlier ones, from 2.9 on, refuse them (ErrNoBatches), and Open says so in the log; single events are the same there.
//
// Sizes: an event with its headers must fit into the server's max_payload, 1 MiB if nobody has set it; more is
// wire.ErrPayloadTooLarge. Of each subscriber some 400 events are read ahead, and in memory.
//
// What it does not do: it keeps no events for later (jitney.ErrNoSchedule); an event is not published, nor marked in the
// Inbox, in a transaction of the application's. What a server removes by an age limit or an operator's hand is removed
// whether or not all subscribers have had it. One that has not says so in its log, with the positions.
//
// # Several processes
//
// Of the processes that have subscribers of one name, one is given its events, and the others stand in line. The owner
// writes the place anew three times within a lease (WithLease, 15 s). When it closes the subscription the next one goes on
// at once; when it dies, after a lease. No clock of one machine is compared with that of another.
//
// An owner that is alive but cannot reach the server gives its place up when it could not write for five sixths of a
// lease: it begins no handler any more for what it has been given (jitney.Durable.Recall), and writes nothing. The next
// one begins at the end of the lease, with what the owner has not stored as settled. Only a handler that has begun
// before, and ignores that it is recalled for a sixth of the lease, runs beside the next one's handler of the same event:
// Go cannot stop it. A process that is suspended as a whole may do the same when it wakes up. What it settles is ignored
// then: each write names the revision that it replaces.
//
// # What others see
//
// The stream's subjects are <name>.event.<type>, with the dots of the type; where a subject cannot have a character, = and
// its two hexadecimal digits stand for it. Messages are CloudEvents in the binary mode of the NATS binding: a header ce-…
// for each attribute, percent-encoded, and the payload as it is. Whoever publishes there, in binary or structured mode,
// publishes to the bus; with an ID of the event's in Nats-Msg-Id the server stores it once. Subscribers to one type are
// given what is published under its subject. Places says how far each subscriber is, and whose it is.
package natsjournal
