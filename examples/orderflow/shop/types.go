package shop

import (
	"github.com/jitney-go/jitney/examples/orderflow/intake"
	"github.com/jitney-go/jitney/examples/orderflow/inventory"
	"github.com/jitney-go/jitney/examples/orderflow/orders"
	"github.com/jitney-go/jitney/examples/orderflow/payments"
	"github.com/jitney-go/jitney/examples/orderflow/shipping"
	"github.com/jitney-go/jitney/wire"
)

// Types are the shop's events, as a journal has to know them.
func Types() *wire.Types {
	types := wire.NewTypes()
	wire.Register[intake.Received](types)
	wire.Register[orders.Placed](types)
	wire.Register[orders.Cancelled](types)
	wire.Register[payments.Charged](types)
	wire.Register[payments.Refunded](types)
	wire.Register[payments.WrittenOff](types)
	wire.Register[inventory.Low](types)
	wire.Register[shipping.Shipped](types)
	return types
}
