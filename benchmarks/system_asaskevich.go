package benchmarks

import (
	"errors"

	eventbus "github.com/asaskevich/EventBus"
)

const asaskevichModule = "github.com/asaskevich/EventBus"

var (
	asaskevichSystem = System{
		Name: "asaskevich/EventBus", Module: asaskevichModule, Kind: Sync,
		Lacks: "queue, isolation, context, errors, ids; reflection", Open: openAsaskevich(false),
	}
	asaskevichAsyncSystem = System{
		Name: "asaskevich/EventBus, async", Module: asaskevichModule, Kind: Unordered,
		Lacks: "order, bound, context, errors, ids; a goroutine per event", Open: openAsaskevich(true),
	}
)

func openAsaskevich(async bool) func(Setup) (*Bus, error) {
	return func(s Setup) (*Bus, error) {
		b := eventbus.New()
		var errs []error
		for t := range s.Topics {
			for i := range s.Subscribers {
				tally := s.Tally(t, i)
				if async { // transactional: one handler at a time
					errs = append(errs, b.SubscribeAsync(topicNames[t], func(o Order) { tally.Handle(o) }, true))
					continue
				}
				handle := tally.Handle
				if s.Publishers > 1 {
					handle = tally.HandleLocked
				}
				errs = append(errs, b.Subscribe(topicNames[t], func(o Order) { handle(o) }))
			}
		}
		return &Bus{
			Publish: func(_, topic int, o Order) error { b.Publish(topicNames[topic], o); return nil },
			Close:   b.WaitAsync,
		}, errors.Join(errs...)
	}
}
