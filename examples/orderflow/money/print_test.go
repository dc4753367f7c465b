package money_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/jitney-go/jitney/examples/orderflow/money"
)

func TestPrint(t *testing.T) {
	for _, test := range []struct {
		amount money.Amount
		exact  string
		pounds string
	}{
		{0, "0.000", "£0.00"},
		{1, "0.001", "£0.00"},
		{-1, "-0.001", "£0.00"},
		{4, "0.004", "£0.00"},
		{5, "0.005", "£0.01"},
		{-4, "-0.004", "£0.00"},
		{-5, "-0.005", "-£0.01"},
		{85, "0.085", "£0.09"},
		{2550, "2.550", "£2.55"},
		{-2555, "-2.555", "-£2.56"},
		{994, "0.994", "£0.99"},
		{995, "0.995", "£1.00"},
		{999994, "999.994", "£999.99"},
		{999995, "999.995", "£1,000.00"},
		{-11062060, "-11062.060", "-£11,062.06"},
		{896812490, "896812.490", "£896,812.49"},
		{10644560424, "10644560.424", "£10,644,560.42"},
		{math.MaxInt64, "9223372036854775.807", "£9,223,372,036,854,775.81"},
		{math.MinInt64, "-9223372036854775.808", "-£9,223,372,036,854,775.81"},
	} {
		assert.Equal(t, test.exact, test.amount.String())
		assert.Equal(t, test.pounds, test.amount.Pounds(), test.exact)
	}
}
