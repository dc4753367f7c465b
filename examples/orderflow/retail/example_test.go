package retail_test

import (
	"fmt"

	"github.com/jitney-go/jitney/examples/orderflow/retail"
)

func ExampleRead() {
	invoices, err := retail.Read(retail.Sample(), retail.SampleName, func(p retail.Problem) {
		fmt.Println(p)
	})
	fmt.Println(len(invoices), err)
	fmt.Println(invoices[0].Number, invoices[0].Customer, invoices[0].Total.Pounds())

	// Output:
	// sample.csv:29: line "700109,BAG-630,Canvas market bag,10,2024"…: 7 of the 8 fields of the header
	// sample.csv:60: Quantity "a dozen": not a whole number
	// sample.csv:87: Description "\"Birch tray 12\"\" round,5,2024-11-29 08:4"…: quote not closed on its line
	// 36 <nil>
	// 700101 20417 £564.60
}
