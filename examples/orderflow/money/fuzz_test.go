package money_test

import (
	"math"
	"math/big"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney/examples/orderflow/money"
)

func FuzzStringIsReadBack(f *testing.F) {
	for _, mills := range []int64{0, 1, -1, 999, -1000, math.MaxInt64, math.MinInt64} {
		f.Add(mills)
	}
	f.Fuzz(func(t *testing.T, mills int64) {
		a := money.Amount(mills)
		back, err := money.Parse(a.String())
		require.NoError(t, err)
		assert.Equal(t, a, back)
		assert.NotEmpty(t, a.Pounds())
	})
}

var decimal = regexp.MustCompile(`^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)$`)

// FuzzParse holds Parse against exact fractions.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"2.55", "-11062.06", ".5", "5.", "1e3", "1.0000", "1.0001", "", ".", "9223372036854775.808"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := money.Parse(text)
		if !decimal.MatchString(text) {
			require.ErrorIs(t, err, money.ErrSyntax)
			return
		}
		pounds, ok := new(big.Rat).SetString(text)
		require.True(t, ok)
		mills := pounds.Mul(pounds, big.NewRat(1000, 1))
		switch {
		case !mills.IsInt():
			require.ErrorIs(t, err, money.ErrPrecision)
		case !mills.Num().IsInt64():
			require.ErrorIs(t, err, money.ErrRange)
		default:
			require.NoError(t, err)
			assert.Equal(t, money.Amount(mills.Num().Int64()), got)
		}
	})
}
