package benchmarks

import (
	"time"

	"github.com/jitney-go/jitney"
)

// Variants are Jitney alone, with and without what it can do: each is compared with the first.
func Variants() []System {
	variant := func(name string, how Subscription) System {
		return System{Name: name, Module: jitneyModule, Kind: Ordered, Open: openJitney(how)}
	}
	lasting := []jitney.SubscribeOption{
		jitney.WithRetry(jitney.Retry{}), jitney.WithDeadLetters(&jitney.MemoryDeadLetters{}), jitney.WithTimeout(time.Minute),
	}
	return []System{
		variant("bare", Subscription{}),
		variant("retry, dead letters, timeout", Subscription{Options: lasting}),
		variant("the same and an inbox", Subscription{Options: append(lasting, jitney.WithIdempotency(&jitney.MemoryInbox{}))}),
		variant("8 workers, a lane per key", Subscription{Options: []jitney.SubscribeOption{jitney.WithWorkers(8)}}),
		variant("10,000 other subscriptions, which hear nothing", Subscription{Crowd: true}),
	}
}
