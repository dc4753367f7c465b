package money_test

import (
	"math"
	"math/big"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/jitney-go/jitney/examples/orderflow/money"
)

// edges are the numbers near which wrapping shows.
var edges = []int64{
	math.MinInt64, math.MinInt64 + 1, math.MinInt64 / 2, math.MinInt64/2 - 1,
	math.MinInt32, -3037000500, -1000, -2, -1, 0, 1, 2, 1000, 3037000499, 3037000500,
	math.MaxInt32, math.MaxInt64 / 2, math.MaxInt64/2 + 1, math.MaxInt64 - 1, math.MaxInt64,
}

func TestAddAgreesWithBigIntegers(t *testing.T) {
	for _, a := range edges {
		for _, b := range edges {
			got, err := money.Amount(a).Add(money.Amount(b))
			assertBig(t, new(big.Int).Add(big.NewInt(a), big.NewInt(b)), got, err)
		}
	}
}

func TestMulAgreesWithBigIntegers(t *testing.T) {
	for _, a := range edges {
		for _, n := range edges {
			got, err := money.Amount(a).Mul(int(n))
			assertBig(t, new(big.Int).Mul(big.NewInt(a), big.NewInt(n)), got, err)
		}
	}
}

func assertBig(t *testing.T, want *big.Int, got money.Amount, err error) {
	t.Helper()
	if want.IsInt64() {
		assert.NoError(t, err)
		assert.Equal(t, money.Amount(want.Int64()), got)
	} else {
		assert.ErrorIs(t, err, money.ErrRange)
		assert.Zero(t, got)
	}
}
