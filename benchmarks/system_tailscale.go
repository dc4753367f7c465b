package benchmarks

import (
	"fmt"

	"tailscale.com/util/eventbus"
)

var tailscaleSystem = System{
	Name: "Tailscale eventbus", Module: "tailscale.com", Kind: Ordered,
	Lacks: "errors, ids, choice of bound; one goroutine routes all topics",
	Open: func(s Setup) (*Bus, error) {
		b := eventbus.NewWithOptions(eventbus.BusOptions{Logf: func(string, ...any) {}})
		publish := make([][]func(Order), s.Publishers)
		for p := range publish {
			c := b.Client(fmt.Sprint("publisher-", p))
			for t := range s.Topics {
				publish[p] = append(publish[p], types[t].tailscalePublisher(c))
			}
		}
		for t := range s.Topics {
			for i := range s.Subscribers {
				types[t].tailscaleSubscribe(b.Client(fmt.Sprint("s", t, "-", i)), s.Tally(t, i).Handle)
			}
		}
		return &Bus{
			Publish: func(publisher, topic int, o Order) error { publish[publisher][topic](o); return nil },
			Close:   b.Close,
		}, nil
	},
}

func tailscaleWorker[T any](c *eventbus.Client, handle func(T)) {
	sub := eventbus.Subscribe[T](c)
	go func() {
		for {
			select {
			case e := <-sub.Events():
				handle(e)
			case <-sub.Done():
				return
			}
		}
	}()
}
