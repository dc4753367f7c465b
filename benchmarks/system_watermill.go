package benchmarks

import (
	"context"
	"errors"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
)

const watermillModule = "github.com/ThreeDotsLabs/watermill"

var (
	watermillAckSystem = System{
		Name: "Watermill GoChannel, publish waits", Module: watermillModule, Kind: Ordered,
		Lacks: "concurrency; carries bytes", Open: openWatermill(true),
	}
	watermillSystem = System{
		Name: "Watermill GoChannel", Module: watermillModule, Kind: Unordered,
		Lacks: "order, bound; a goroutine per event; carries bytes", Open: openWatermill(false),
	}
)

func openWatermill(wait bool) func(Setup) (*Bus, error) {
	return func(s Setup) (*Bus, error) {
		b := gochannel.NewGoChannel(gochannel.Config{
			OutputChannelBuffer: int64(s.Buffer), BlockPublishUntilSubscriberAck: wait,
		}, watermill.NopLogger{})
		var errs []error
		for t := range s.Topics {
			for i := range s.Subscribers {
				messages, err := b.Subscribe(context.Background(), topicNames[t])
				errs = append(errs, err)
				tally := s.Tally(t, i)
				go func() {
					for m := range messages {
						o := decode(m.Payload)
						tally.Handle(o)
						m.Ack()
					}
				}()
			}
		}
		return &Bus{
			Publish: func(_, topic int, o Order) error {
				return b.Publish(topicNames[topic], message.NewMessage(watermill.NewUUID(), encode(&o)))
			},
			Close: func() { _ = b.Close() },
		}, errors.Join(errs...)
	}
}
