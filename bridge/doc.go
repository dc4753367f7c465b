// Package bridge carries events between a bus of this process and an engine that other processes reach too: any
// [jitney.Journal], such as a stream of NATS or a topic of Kafka.
//
// What crosses does so at least once, and in the order of each key. It waits through an outage of the other side
// however long that is, and does not go round in circles: each event lists the places it has left, in the header
// [Via], and is never brought to one of them. A way goes on where it was after a restart, but for a way out of a bus in
// memory, where what waits ends with the process. What the other side will never take is a dead letter. Trace,
// correlation and causes go on across the bridge.
//
// Between two places there is to be one way: to the second of two copies that come by different ways, with different
// lists, a journal says that another event has its ID. The ID, the trace context and the list follow from what the
// event is where it comes from, so that a repeat is the same.
//
// To outgrow one process, a module moves into another one, and what it hears and says crosses a bridge. Neither the
// module nor those it talks to are changed:
//
//	nats := …  // a jitney.Journal that both processes reach
//
//	shop := bridge.Ends{Bus: b, Here: "shop", Engine: nats, There: "ORDERS", System: "nats"}
//	out := bridge.Out[orders.Event](shop, "orders-out", jitney.WithDeadLetters(letters))
//	in := bridge.In[payments.Event](shop, "payments-in", jitney.WithDeadLetters(letters))
//
//	billing := bridge.Ends{Bus: b, Here: "billing", Engine: nats, There: "ORDERS", System: "nats"} // in the other process
//	in := bridge.In[orders.Event](billing, "orders-in", jitney.WithDeadLetters(letters))
//	out := bridge.Out[payments.Event](billing, "payments-out", jitney.WithDeadLetters(letters))
//	payments.Subscribe(b)
package bridge
