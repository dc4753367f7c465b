package money_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney/examples/orderflow/money"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]money.Amount{
		"0":                     0,
		"-0":                    0,
		"2.55":                  2550,
		"+2.55":                 2550,
		".5":                    500,
		"-.5":                   -500,
		"5.":                    5000,
		"0.001":                 1,
		"-11062.06":             -11062060,
		"10644560.424":          10644560424,
		"1.2300000":             1230,
		"000000000000000000001": 1000,
		"9223372036854775.807":  math.MaxInt64,
		"-9223372036854775.808": math.MinInt64,
	} {
		got, err := money.Parse(text)
		if assert.NoError(t, err, text) {
			assert.Equal(t, want, got, text)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]error{
		"":                       money.ErrSyntax,
		".":                      money.ErrSyntax,
		"-":                      money.ErrSyntax,
		"+.":                     money.ErrSyntax,
		"--1":                    money.ErrSyntax,
		"-+1":                    money.ErrSyntax,
		"1.2.3":                  money.ErrSyntax,
		"1e3":                    money.ErrSyntax,
		"0x10":                   money.ErrSyntax,
		"1_000":                  money.ErrSyntax,
		"1,000":                  money.ErrSyntax,
		" 1":                     money.ErrSyntax,
		"1 ":                     money.ErrSyntax,
		"£1":                     money.ErrSyntax,
		"NaN":                    money.ErrSyntax,
		"Inf":                    money.ErrSyntax,
		"٣":                      money.ErrSyntax,
		"1.00001x":               money.ErrSyntax,
		"1.0001":                 money.ErrPrecision,
		"0.00000000000000000001": money.ErrPrecision,
		"9223372036854775.808":   money.ErrRange,
		"-9223372036854775.809":  money.ErrRange,
		"18446744073709551.616":  money.ErrRange,
		strings.Repeat("9", 99):  money.ErrRange,
	} {
		got, err := money.Parse(text)
		assert.ErrorIs(t, err, want, text)
		assert.Zero(t, got, text)
	}
}

func TestParseErrorsAreShortHoweverLongTheText(t *testing.T) {
	_, err := money.Parse(strings.Repeat("x", 1<<20))
	require.Error(t, err)
	assert.Less(t, len(err.Error()), 100)
}

func TestParseDoesNotAllocate(t *testing.T) {
	text := []byte("-11062.06")
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		_, _ = money.Parse(string(text))
	}))
}

func TestAmountIsAStringInJSON(t *testing.T) {
	type report struct {
		Gross money.Amount `json:"gross"`
	}
	text, err := json.Marshal(report{10644560424})
	require.NoError(t, err)
	assert.Equal(t, `{"gross":"10644560.424"}`, string(text))

	var back report
	require.NoError(t, json.Unmarshal(text, &back))
	assert.Equal(t, report{10644560424}, back)
}

func TestUnmarshalTextLeavesTheAmountAloneOnError(t *testing.T) {
	a := 7 * money.Pound
	require.ErrorIs(t, a.UnmarshalText([]byte("seven")), money.ErrSyntax)
	assert.Equal(t, 7*money.Pound, a)
}
