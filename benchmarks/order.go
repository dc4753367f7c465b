package benchmarks

// Order is the payload: 64 bytes. Total says who published it, and as which of its events.
type Order struct {
	OrderID, CustomerID string
	Total               int64
	Items               int32
	Region              string
}

// EventType implements jitney.Event.
func (Order) EventType() string { return "order" }

// NewOrder returns publisher's order number seq.
func NewOrder(publisher int, seq int64) Order {
	return Order{"order-1", "customer-1", int64(publisher)<<48 | seq, 3, "eu"}
}

// Origin says whose order it is, and which of its orders.
func (o Order) Origin() (publisher int, seq int64) {
	return int(o.Total >> 48), o.Total & (1<<48 - 1)
}

// Of is one of a thousand Go types of events, for the systems that route by type.
type Of[A, B, C digit] struct{ Order }

// EventType implements jitney.Event.
func (Of[A, B, C]) EventType() string {
	var a A
	var b B
	var c C
	return topicNames[100*a.n()+10*b.n()+c.n()]
}

// MaxTopics is how many topics a system can be asked for.
const MaxTopics = 1000

var topicNames = func() (names [MaxTopics]string) {
	for i := range names {
		names[i] = "topic-" + string([]byte{'0' + byte(i/100), '0' + byte(i/10%10), '0' + byte(i%10)})
	}
	return names
}()

type digit interface{ n() int }

type (
	d0 struct{}
	d1 struct{}
	d2 struct{}
	d3 struct{}
	d4 struct{}
	d5 struct{}
	d6 struct{}
	d7 struct{}
	d8 struct{}
	d9 struct{}
)

func (d0) n() int { return 0 }
func (d1) n() int { return 1 }
func (d2) n() int { return 2 }
func (d3) n() int { return 3 }
func (d4) n() int { return 4 }
func (d5) n() int { return 5 }
func (d6) n() int { return 6 }
func (d7) n() int { return 7 }
func (d8) n() int { return 8 }
func (d9) n() int { return 9 }
