package benchmarks

import (
	"context"
	"errors"
	"log/slog"

	"github.com/rbaliyan/event/v3"
	"github.com/rbaliyan/event/v3/transport/channel"
)

var rbaliyanSystem = System{
	Name: "rbaliyan/event", Module: "github.com/rbaliyan/event/v3", Kind: Ordered,
	Lacks: "isolation (one full queue delays all, and loses the event after 30 s); carries bytes (JSON)",
	Open: func(s Setup) (*Bus, error) {
		ctx := context.Background()
		quiet := slog.New(slog.DiscardHandler)
		b, err := event.NewBus("bench", event.WithLogger(quiet), event.WithTransport(channel.New(
			channel.WithBufferSize(uint(s.Buffer)), channel.WithLogger(quiet))))
		errs := []error{err}
		events := make([]event.Event[Order], s.Topics)
		for t := range events {
			events[t] = event.New[Order](topicNames[t])
			errs = append(errs, event.Register(ctx, b, events[t]))
			for i := range s.Subscribers {
				tally := s.Tally(t, i)
				errs = append(errs, events[t].Subscribe(ctx, func(_ context.Context, _ event.Event[Order], o Order) error {
					tally.Handle(o)
					return nil
				}, event.WithBufferSize[Order](s.Buffer)))
			}
		}
		return &Bus{
			Publish: func(_, topic int, o Order) error { return events[topic].Publish(ctx, o) },
			Close:   func() { _ = b.Close(ctx) },
		}, errors.Join(errs...)
	},
}
