package money

import (
	"fmt"
	"math"
)

// Add returns a + b, or [ErrRange] if that is no amount.
func (a Amount) Add(b Amount) (Amount, error) {
	sum := a + b
	if (sum > a) != (b > 0) {
		return 0, fmt.Errorf("money: add %s to %s: %w", b, a, ErrRange)
	}
	return sum, nil
}

// Mul returns a taken quantity times, or [ErrRange] if that is no amount.
// Mul(-1) is a checked negation.
func (a Amount) Mul(quantity int) (Amount, error) {
	if quantity == 0 {
		return 0, nil
	}
	q := Amount(quantity)
	product := a * q
	// Go wraps MinInt64 / -1 to MinInt64, so the division alone misses it.
	if product/q != a || (a == math.MinInt64 && q == -1) {
		return 0, fmt.Errorf("money: multiply %s by %d: %w", a, quantity, ErrRange)
	}
	return product, nil
}
