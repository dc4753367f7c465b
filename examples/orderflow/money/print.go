package money

import (
	"fmt"
	"strconv"
)

// String returns the exact amount in pounds with three decimals, always:
// "2.550", "-0.085". [Parse] reads it back to the same amount.
func (a Amount) String() string {
	return fmt.Sprintf("%s%d.%03d", a.sign(), a.magnitude()/1000, a.magnitude()%1000)
}

// Pounds returns the amount for people to read, with the pound sign,
// thousands separators and two decimals, "-£11,062.06". It is rounded to
// whole pence, half a penny away from zero.
func (a Amount) Pounds() string {
	pence := (a.magnitude() + 5) / 10
	sign := a.sign()
	if pence == 0 {
		sign = ""
	}
	return fmt.Sprintf("%s£%s.%02d", sign, thousands(pence/100), pence%100)
}

func (a Amount) sign() string {
	if a < 0 {
		return "-"
	}
	return ""
}

// magnitude is unsigned because the lowest amount has no positive twin.
func (a Amount) magnitude() uint64 {
	if a < 0 {
		return -uint64(a)
	}
	return uint64(a)
}

func thousands(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
