package benchmarks

// Setup is what a system is asked to provide: topics × subscribers handlers.
type Setup struct {
	Topics      int
	Subscribers int // of each topic
	Publishers  int
	Buffer      int // of each subscriber's queue
	// Tally returns the account of a topic's subscriber.
	Tally func(topic, subscriber int) *Tally
}

// Bus is a system at work.
type Bus struct {
	// Publish publishes o to all subscribers of a topic. It is called by one goroutine per publisher.
	Publish func(publisher, topic int, o Order) error
	Close   func()
}

// Kind is what a system does with an event, as far as it decides what can be compared with what.
type Kind int

// The kinds, in the order of the table.
const (
	Floor     Kind = iota // no bus
	Ordered               // asynchronous, each subscriber sees the order of Publish
	Unordered             // asynchronous, a goroutine per event or so
	Sync                  // handlers run in the publisher's goroutine
)

func (k Kind) String() string {
	return [...]string{
		"no bus", "asynchronous, in order per subscriber", "asynchronous, order is luck",
		"synchronous, in the publisher's goroutine",
	}[k]
}

// System is one way to get an event from A to B.
type System struct {
	Name   string
	Module string // whose version is named in the report
	Kind   Kind
	Lacks  string // what it leaves out of: queue, bound, context, ids, errors, isolation, drain
	Open   func(Setup) (*Bus, error)
	Queues bool // it can be given a queue of a million events
}

// Systems is all of them, in the order of the table.
func Systems() []System {
	return []System{
		channelSystem, callSystem,
		jitneySystem, libp2pSystem, cskrSystem, natsSystem, tailscaleSystem, watermillAckSystem, rbaliyanSystem,
		asaskevichAsyncSystem, watermillSystem,
		jitneySyncSystem, asaskevichSystem,
	}
}

// Find returns the system of that name.
func Find(name string) (System, bool) {
	for _, s := range Systems() {
		if s.Name == name {
			return s, true
		}
	}
	return System{}, false
}
