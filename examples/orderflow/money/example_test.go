package money_test

import (
	"fmt"

	"github.com/jitney-go/jitney/examples/orderflow/money"
)

func ExampleAmount() {
	price, _ := money.Parse("0.085")
	total, err := price.Mul(12345)
	fmt.Println(total, total.Pounds(), err)

	_, err = total.Mul(1 << 62)
	fmt.Println(err)

	// Output:
	// 1049.325 £1,049.33 <nil>
	// money: multiply 1049.325 by 4611686018427387904: beyond the range of an amount
}
