// Package intake has the event by which orders enter the shop. Whoever sends them does so at least once.
package intake

import (
	"time"

	"github.com/jitney-go/jitney/examples/orderflow/money"
)

// Received says that an invoice has come in from outside, perhaps not for the first time.
type Received struct {
	Invoice   string
	Cancelled bool
	Date      time.Time
	Customer  string // "" if unknown
	Country   string
	Lines     []Line
	Total     money.Amount
}

// Line is one article of an invoice.
type Line struct {
	Article  string
	Quantity int
	Price    money.Amount
}

// EventType implements jitney.Event.
func (Received) EventType() string { return "intake.invoice_received" }

// EventKey keeps what concerns one invoice in order.
func (r Received) EventKey() string { return r.Invoice }
