package wire_test

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/wire"
)

// Shipped is version 2 of an event; version 1 had its parcel as "Number".
type Shipped struct{ Parcel string }

func (Shipped) EventType() string { return "shipping.shipped" }
func (Shipped) EventVersion() int { return 2 }

func Example() {
	types := wire.NewTypes()
	wire.Register[Shipped](types)
	wire.Upcast(types, "shipping.shipped", 1, func(old json.RawMessage) (json.RawMessage, error) {
		var o struct{ Number int }
		if err := json.Unmarshal(old, &o); err != nil {
			return nil, err
		}
		return json.Marshal(Shipped{Parcel: fmt.Sprintf("P%d", o.Number)})
	})
	fmt.Println("upcasters complete:", types.Check() == nil)

	m, _ := wire.Encode(&jitney.Envelope{
		ID: uuid.MustParse("0192f3a0-5b1e-7c6d-8a4f-000000000001"), Type: "shipping.shipped", Version: 2,
		Time: time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC), Key: "order-1", Event: Shipped{Parcel: "P7"},
	}, wire.Limits{})
	text, _ := m.MarshalJSON()
	fmt.Println(string(text))

	old := `{"specversion":"1.0","id":"1","source":"/old","type":"shipping.shipped","data":{"Number":7}}`
	m, _ = wire.Parse([]byte(old), wire.Limits{})
	env, err := types.Decode(m)
	fmt.Println(env.Event, env.Version, err)
	// Output:
	// upcasters complete: true
	// {"specversion":"1.0","id":"0192f3a0-5b1e-7c6d-8a4f-000000000001","source":"/","type":"shipping.shipped","time":"2026-11-21T00:00:00Z","datacontenttype":"application/json","eventversion":2,"partitionkey":"order-1","data":{"Parcel":"P7"}}
	// {P7} 2 <nil>
}
