// Package money holds amounts of pounds exactly.
//
// An [Amount] is a whole number of mills, thousandths of a pound, so sums of
// prices such as 0.085 lose nothing. No operation rounds but [Amount.Pounds],
// which is for reading only, and none goes through a float. Arithmetic that
// would leave the range of about ±9.2 million million pounds is an error.
//
//	price, err := money.Parse("2.55")
//	...
//	total, err := price.Mul(6) // 15.300
package money

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Amount is a number of mills: thousandths of a pound. The zero value is no
// money; amounts compare with < and ==.
type Amount int64

// Pound is one pound.
const Pound Amount = 1000

// What can be wrong with an amount. Errors of this package wrap one of them.
var (
	ErrSyntax    = errors.New("not an amount")
	ErrPrecision = errors.New("more than three decimals")
	ErrRange     = errors.New("beyond the range of an amount")
)

const decimals = 3

// Parse reads a decimal number of pounds: digits with at most one point and
// an optional sign, such as "2.55", "-11062.06", "0" or ".5". A fourth
// decimal that is not zero is [ErrPrecision], a number out of range is
// [ErrRange], and anything else, an exponent or a blank included, is
// [ErrSyntax].
func Parse(s string) (Amount, error) {
	digits, negative := cutSign(s)
	a, err := parseDigits(digits, negative)
	if err != nil {
		// The clone keeps s itself from escaping to the heap when all is well.
		return 0, fmt.Errorf("money: parse %.40q: %w", strings.Clone(s), err)
	}
	return a, nil
}

func cutSign(s string) (digits string, negative bool) {
	if rest, ok := strings.CutPrefix(s, "-"); ok {
		return rest, true
	}
	return strings.TrimPrefix(s, "+"), false
}

func parseDigits(s string, negative bool) (Amount, error) {
	whole, fraction, _ := strings.Cut(s, ".")
	if whole == "" && fraction == "" || !allDigits(whole) || !allDigits(fraction) {
		return 0, ErrSyntax
	}
	fraction = strings.TrimRight(fraction, "0")
	if len(fraction) > decimals {
		return 0, ErrPrecision
	}
	mills, err := strconv.ParseUint(whole+fraction+"000"[len(fraction):], 10, 64)
	if err != nil {
		return 0, ErrRange
	}
	return signed(mills, negative)
}

func allDigits(s string) bool {
	return strings.Trim(s, "0123456789") == ""
}

func signed(mills uint64, negative bool) (Amount, error) {
	if !negative && mills <= math.MaxInt64 {
		return Amount(mills), nil
	}
	if negative && mills <= -math.MinInt64 {
		return -Amount(mills), nil
	}
	return 0, ErrRange
}

// MarshalText returns the form of [Amount.String], so an amount in JSON is a
// string and keeps its three decimals.
func (a Amount) MarshalText() ([]byte, error) {
	return []byte(a.String()), nil
}

// UnmarshalText reads what [Parse] reads.
func (a *Amount) UnmarshalText(text []byte) error {
	parsed, err := Parse(string(text))
	if err != nil {
		return err
	}
	*a = parsed
	return nil
}
