package benchmarks

import (
	"errors"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

var natsSystem = System{
	Name: "NATS, embedded, in-process", Module: "github.com/nats-io/nats-server/v2", Kind: Ordered,
	Lacks: "types, publisher's waiting (a slow consumer loses events); carries bytes",
	Open: func(s Setup) (*Bus, error) {
		srv, err := server.NewServer(&server.Options{DontListen: true, NoLog: true, NoSigs: true})
		if err != nil {
			return nil, err
		}
		srv.Start()
		if !srv.ReadyForConnections(10 * time.Second) {
			return nil, errors.New("nats: not ready")
		}
		var errs []error
		connect := func() *nats.Conn {
			c, err := nats.Connect("", nats.InProcessServer(srv))
			errs = append(errs, err)
			return c
		}
		publishers := make([]*nats.Conn, s.Publishers)
		for p := range publishers {
			publishers[p] = connect()
		}
		consumer := connect()
		for t := range s.Topics {
			for i := range s.Subscribers {
				tally := s.Tally(t, i)
				sub, err := consumer.Subscribe(topicNames[t], func(m *nats.Msg) {
					o := decode(m.Data)
					tally.Handle(o)
				})
				errs = append(errs, err)
				if err == nil {
					errs = append(errs, sub.SetPendingLimits(-1, -1)) // else it drops at 512 Ki events
				}
			}
		}
		errs = append(errs, consumer.Flush())
		return &Bus{
			Publish: func(publisher, topic int, o Order) error {
				return publishers[publisher].Publish(topicNames[topic], encode(&o))
			},
			Close: func() {
				for _, c := range append(publishers, consumer) {
					c.Close()
				}
				srv.Shutdown()
			},
		}, errors.Join(errs...)
	},
}
