package benchmarks

import "sync"

var channelSystem = System{
	Name: "buffered channel", Kind: Floor, Lacks: "everything but the queue", Queues: true,
	Open: func(s Setup) (*Bus, error) {
		topics := make([][]chan Order, s.Topics)
		var workers sync.WaitGroup
		for t := range topics {
			topics[t] = make([]chan Order, s.Subscribers)
			for i := range topics[t] {
				c, tally := make(chan Order, s.Buffer), s.Tally(t, i)
				topics[t][i] = c
				workers.Go(func() {
					for o := range c {
						tally.Handle(o)
					}
				})
			}
		}
		return &Bus{
			Publish: func(_, topic int, o Order) error {
				for _, c := range topics[topic] {
					c <- o
				}
				return nil
			},
			Close: func() {
				for _, subscribers := range topics {
					for _, c := range subscribers {
						close(c)
					}
				}
				workers.Wait()
			},
		}, nil
	},
}

var callSystem = System{
	Name: "function call", Kind: Floor, Lacks: "everything, the queue too",
	Open: func(s Setup) (*Bus, error) {
		topics := make([][]func(Order), s.Topics)
		for t := range topics {
			for i := range s.Subscribers {
				handle := s.Tally(t, i).Handle
				if s.Publishers > 1 {
					handle = s.Tally(t, i).HandleLocked
				}
				topics[t] = append(topics[t], handle)
			}
		}
		return &Bus{
			Publish: func(_, topic int, o Order) error {
				for _, handle := range topics[topic] {
					handle(o)
				}
				return nil
			},
			Close: func() {},
		}, nil
	},
}
