package bridge

import (
	"context"

	"github.com/jitney-go/jitney"
)

// Out has the bus's events of type T stored in the engine: one event's own type, a module's interface for its family,
// or [jitney.Event] for all, as with [jitney.Subscribe]. name is that of the subscription this makes, and opts are its
// options. An event keeps its ID and all else, but for header [Via], and but for what a middleware makes of it.
//
// On a bus WithJournal it is durable: each event is stored in the engine at least once after it was published, also by
// a later process, and once if the engine knows IDs. On a bus in memory, what waits is within the queue's buffer, and
// ends with the process.
//
// Events leave one at a time, in their order, each as soon as the engine has the one before; with [jitney.WithWorkers],
// those of so many different keys at the same time. While the engine does not take one, it is tried again without end,
// from 100 ms to every 30 s, and the others wait behind it; WithRetry says otherwise. What the engine will never take,
// such as another event under a stored ID or too large a payload, is a dead letter.
//
// Out panics as Subscribe does, and if ends are not complete. Close, and the bus's Shutdown, end it.
func Out[T jitney.Event](ends Ends, name string, opts ...jitney.SubscribeOption) *Way {
	ends.mustBeWired("Out", name)
	ends = ends.withDefaults()
	w := newWay(ends, route{from: ends.Here, to: ends.There}, sending(ends), func(ctx context.Context, env *jitney.Envelope) error {
		return ends.Engine.Append(ctx, env)
	})
	w.bus = ends.Bus
	w.Subscription = jitney.Subscribe(w.bus, name, func(ctx context.Context, e T) error { return w.handle(ctx, e) }, patiently(opts)...)
	w.close = w.Subscription.Close
	return w
}
