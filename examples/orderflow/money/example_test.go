package money_test

import (
	"fmt"
	"math"

	"github.com/jitney-go/jitney/examples/orderflow/money"
)

func ExampleAmount() {
	price, _ := money.Parse("0.085")
	total, err := price.Mul(12345)
	fmt.Println(total, total.Pounds(), err)

	_, err = total.Mul(math.MaxInt)
	fmt.Println(err)

	// Output:
	// 1049.325 £1,049.33 <nil>
	// money: multiply 1049.325 by 9223372036854775807: beyond the range of an amount
}
