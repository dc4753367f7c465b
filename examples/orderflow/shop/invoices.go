package shop

import (
	"github.com/jitney-go/jitney/examples/orderflow/intake"
	"github.com/jitney-go/jitney/examples/orderflow/retail"
)

// Received is the event by which an invoice from a file enters the shop.
func Received(v retail.Invoice) intake.Received {
	r := intake.Received{
		Invoice: v.Number, Cancelled: v.Cancelled(), Date: v.Date,
		Customer: v.Customer, Country: v.Country, Total: v.Total,
		Lines: make([]intake.Line, len(v.Lines)),
	}
	for i, l := range v.Lines {
		r.Lines[i] = intake.Line{Article: l.StockCode, Quantity: l.Quantity, Price: l.UnitPrice}
	}
	return r
}
