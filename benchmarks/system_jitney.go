package benchmarks

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jitney-go/jitney"
)

const jitneyModule = "github.com/jitney-go/jitney"

var (
	jitneySystem     = System{Name: "Jitney", Module: jitneyModule, Kind: Ordered, Queues: true, Open: openJitney(Subscription{})}
	jitneySyncSystem = System{Name: "Jitney, WithSync", Module: jitneyModule, Kind: Sync, Lacks: "queue", Open: openJitney(Subscription{Sync: true})}
)

// Subscription says how Jitney's subscriptions are made.
type Subscription struct {
	Sync    bool
	Options []jitney.SubscribeOption
	Bus     []jitney.Option
	Crowd   bool // 10,000 subscriptions to 1,000 other types are on the bus as well
}

func openJitney(how Subscription) func(Setup) (*Bus, error) {
	return func(s Setup) (*Bus, error) {
		b := jitney.New(append(how.Bus, jitney.WithLogger(slog.New(slog.DiscardHandler)))...)
		opts := append([]jitney.SubscribeOption{jitney.WithBuffer(s.Buffer)}, how.Options...)
		if how.Sync {
			opts = append(opts, jitney.WithSync())
		}
		handlers := func(topic int) (list []func(Order)) {
			for i := range s.Subscribers {
				t := s.Tally(topic, i)
				if how.Sync && s.Publishers > 1 {
					list = append(list, t.HandleLocked)
				} else {
					list = append(list, t.Handle)
				}
			}
			return list
		}
		ctx := context.Background()
		bus := &Bus{Close: func() {
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			if err := b.Shutdown(ctx); err != nil {
				panic(err)
			}
		}}
		if how.Crowd {
			for i, t := range types {
				for k := range 10 {
					t.subscribe(b, fmt.Sprint("crowd-", i, "-", k), func(Order) {}, jitney.WithBuffer(s.Buffer))
				}
			}
		}
		if s.Topics == 1 { // the usual way, without a table of types
			for i, handle := range handlers(0) {
				jitney.Subscribe(b, fmt.Sprint("s", i), func(_ context.Context, o Order) error { handle(o); return nil }, opts...)
			}
			bus.Publish = func(_, _ int, o Order) error { return b.Publish(ctx, o) }
			return bus, nil
		}
		for topic := range s.Topics {
			for i, handle := range handlers(topic) {
				types[topic].subscribe(b, fmt.Sprint("s", topic, "-", i), handle, opts...)
			}
		}
		bus.Publish = func(_, topic int, o Order) error { return b.Publish(ctx, types[topic].event(o).(jitney.Event)) }
		return bus, nil
	}
}
