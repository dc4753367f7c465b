package benchmarks

import "github.com/cskr/pubsub/v2"

var cskrSystem = System{
	Name: "cskr/pubsub", Module: "github.com/cskr/pubsub/v2", Kind: Ordered, Queues: true,
	Lacks: "context, errors, ids; one goroutine routes all topics",
	Open: func(s Setup) (*Bus, error) {
		b := pubsub.New[string, Order](s.Buffer)
		for t := range s.Topics {
			for i := range s.Subscribers {
				c, handle := b.Sub(topicNames[t]), s.Tally(t, i).Handle
				go func() {
					for o := range c {
						handle(o)
					}
				}()
			}
		}
		return &Bus{
			Publish: func(_, topic int, o Order) error { b.Pub(o, topicNames[topic]); return nil },
			Close:   b.Shutdown,
		}, nil
	},
}
