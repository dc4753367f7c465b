// Package benchmarks puts the same work through Jitney, a plain buffered channel, and other event buses.
//
// The rules are the same for all. The payload is an [Order] of 64 bytes. Queues hold 1,024 events where their
// size can be chosen. A subscriber's handler counts the event, and checks that each publisher's events come
// in the order they were published. The clock stops when every subscriber has handled every event: one that
// is lost, or comes out of order, is counted and shown. Each measurement is a process of its own, with 64 MiB
// of live data, as a small service has: in an empty heap the collector runs every 4 MiB, and one would measure
// its fixed costs. The systems take turns, and medians are compared within a run.
package benchmarks
