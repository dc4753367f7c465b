// Package kafkajournal keeps a bus's events in Kafka, on franz-go: [jitney.Journal] on a topic, for a bus in several
// processes that share its durable subscribers' work.
//
//	types := wire.NewTypes()
//	wire.Register[orders.Placed](types)
//
//	j, err := kafkajournal.Open(ctx, []string{"kafka-1:9092"}, types, kafkajournal.WithTopic("shop"))
//	b := jitney.New(jitney.WithJournal(j))
//	// … subscribe, publish …
//	err = errors.Join(b.Shutdown(ctx), j.Close(ctx))
//
// Events are records as the CloudEvents binding for Kafka says, in binary mode; those of other programs are read in
// structured mode too. A durable subscriber is a consumer group, "<topic>.<subscriber>", whose partitions are shared by
// the processes that have it open. A second topic, "<topic>.places", is compacted: it has what is put aside and what
// holds a subscriber back. Both are made if they are missing.
//
// # What is promised
//
//   - Order: among the events of one key, and among those without a key, which are all in the first partition; not of
//     all together. Adding partitions moves keys: their order across that moment is not kept. A key's partition is the
//     one that Kafka's Java clients choose.
//   - Durability: acks=all by an idempotent producer. Open returns jitney.ErrNotDurable for fewer than 2 replicas,
//     min.insync.replicas below 2, unclean.leader.election.enable, a log that is compacted, a table that is not, and a
//     retention by size, or by time unless WithRetention says that it may be. Brokers that fsync late, as Kafka does
//     by default, lose what all replicas lose at once.
//   - Batches: Publish of several events is a transaction, of which readers see all or nothing. A process has one at a
//     time. If it dies in the midst of one, readers of its partitions wait until Kafka ends it: 10 s, and what the
//     brokers take to notice.
//   - De-duplication: an ID is stored once as far as it is remembered. A process remembers what it has stored itself and
//     what was newest when it opened the journal: WithRemembered of each partition, as many events in all. What other
//     processes store meanwhile it does not know: an inbox catches those.
//   - After ErrIndeterminate the newest events are read back before anything else is stored, so that the same envelope
//     is stored once.
//   - Size: an event, its key and its headers must fit the topic's max.message.bytes; a topic that is made takes 2 MiB.
//     More is wire.ErrPayloadTooLarge, and nothing of its batch is stored.
//   - Places: what is settled is committed 50 ms after the first change, or after 64. All up to the group's offset is
//     settled or put aside; what is settled beyond it is in the commit's metadata. Kafka forgets the offsets of a group
//     that has had no members for a week; then the place is found where it was when it was opened or closed last.
//   - One handler at a time for a key, in all processes, if the bus takes back what is in flight (Durable.Recall): a
//     partition is given away when no handler of its events runs any more. That may take WithHandover; 5 s without
//     Recall. The exception is a process that lives and has not been heard of for WithLease: its handlers run on until it
//     knows. Members are dynamic: who closes its journal gives its partitions away at once, whoever restarts gets some back.
//   - Deaths: what was in flight in a partition is given one event at a time, each noted in the table before.
//   - Replay to one subscriber, from the beginning or a time to the millisecond, while no process has it open.
//   - A pause or an open breaker is of the process that has it; the others learn of it when they open the name.
//   - Memory: at most 2,048 records and some 4 MiB that were fetched and not given, of each partition and subscriber, and
//     8 MiB of a fetch under way. The table of places is in memory in each process.
//
// # What is missing
//
//   - Schedules (jitney.ScheduleStore), dead letters and inboxes: those of a SQL database beside it do. Kafka gives
//     nothing at a time of its own, and an inbox's mark belongs into the handler's transaction.
//   - An outbox: events are not published in a database's transaction.
package kafkajournal
