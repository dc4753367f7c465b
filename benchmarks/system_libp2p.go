package benchmarks

import (
	"errors"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
)

var libp2pSystem = System{
	Name: "libp2p eventbus", Module: "github.com/libp2p/go-libp2p", Kind: Ordered, Queues: true,
	Lacks: "context, errors, ids; emits under a lock",
	Open: func(s Setup) (*Bus, error) {
		b := eventbus.NewBus()
		emitters := make([]event.Emitter, s.Topics)
		var subs []event.Subscription
		var errs []error
		for t := range s.Topics {
			for i := range s.Subscribers {
				sub, err := types[t].libp2pSubscription(b, s.Buffer, s.Tally(t, i).Handle)
				errs = append(errs, err)
				subs = append(subs, sub)
			}
			var err error
			emitters[t], err = types[t].libp2pEmitter(b)
			errs = append(errs, err)
		}
		return &Bus{
			Publish: func(_, topic int, o Order) error { return emitters[topic].Emit(types[topic].event(o)) },
			Close: func() {
				for _, sub := range subs {
					_ = sub.Close()
				}
			},
		}, errors.Join(errs...)
	},
}

func libp2pWorker[T any](b event.Bus, buffer int, handle func(T)) (event.Subscription, error) {
	sub, err := b.Subscribe(new(T), eventbus.BufSize(buffer))
	if err == nil {
		go func() {
			for e := range sub.Out() {
				handle(e.(T))
			}
		}()
	}
	return sub, err
}
