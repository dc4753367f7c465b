package benchmarks

import (
	"context"

	"github.com/libp2p/go-libp2p/core/event"
	"tailscale.com/util/eventbus"

	"github.com/jitney-go/jitney"
)

// typed is one of the thousand event types, and what the systems that route by type do with it.
type typed struct {
	event func(Order) any

	subscribe          func(b *jitney.Bus, name string, handle func(Order), opts ...jitney.SubscribeOption)
	libp2pEmitter      func(event.Bus) (event.Emitter, error)
	libp2pSubscription func(b event.Bus, buffer int, handle func(Order)) (event.Subscription, error)
	tailscalePublisher func(*eventbus.Client) func(Order)
	tailscaleSubscribe func(c *eventbus.Client, handle func(Order))
}

var types = func() []typed {
	var list []typed
	hundreds[d0](&list)
	hundreds[d1](&list)
	hundreds[d2](&list)
	hundreds[d3](&list)
	hundreds[d4](&list)
	hundreds[d5](&list)
	hundreds[d6](&list)
	hundreds[d7](&list)
	hundreds[d8](&list)
	hundreds[d9](&list)
	return list
}()

func hundreds[A digit](list *[]typed) {
	tens[A, d0](list)
	tens[A, d1](list)
	tens[A, d2](list)
	tens[A, d3](list)
	tens[A, d4](list)
	tens[A, d5](list)
	tens[A, d6](list)
	tens[A, d7](list)
	tens[A, d8](list)
	tens[A, d9](list)
}

func tens[A, B digit](list *[]typed) {
	*list = append(*list,
		typeOf[A, B, d0](), typeOf[A, B, d1](), typeOf[A, B, d2](), typeOf[A, B, d3](), typeOf[A, B, d4](),
		typeOf[A, B, d5](), typeOf[A, B, d6](), typeOf[A, B, d7](), typeOf[A, B, d8](), typeOf[A, B, d9]())
}

func typeOf[A, B, C digit]() typed {
	type T = Of[A, B, C]
	return typed{
		event: func(o Order) any { return T{o} },
		subscribe: func(b *jitney.Bus, name string, handle func(Order), opts ...jitney.SubscribeOption) {
			jitney.Subscribe(b, name, func(_ context.Context, e T) error { handle(e.Order); return nil }, opts...)
		},
		libp2pEmitter: func(b event.Bus) (event.Emitter, error) { return b.Emitter(new(T)) },
		libp2pSubscription: func(b event.Bus, buffer int, handle func(Order)) (event.Subscription, error) {
			return libp2pWorker[T](b, buffer, func(e T) { handle(e.Order) })
		},
		tailscalePublisher: func(c *eventbus.Client) func(Order) {
			p := eventbus.Publish[T](c)
			return func(o Order) { p.Publish(T{o}) }
		},
		tailscaleSubscribe: func(c *eventbus.Client, handle func(Order)) {
			tailscaleWorker(c, func(e T) { handle(e.Order) })
		},
	}
}
