package retail

import (
	"fmt"
	"strconv"
	"unicode/utf8"
)

// Problem is a part of the input that could not be used.
type Problem struct {
	File   string
	Line   int    // the physical line; the header's is usually 1
	Column string // the column at fault; empty when it is the line as a whole
	Value  string // the beginning of the value at fault, quoted and escaped
	Text   string // what is wrong with it

	// Damaged says that no line is malformed, but that the input breaks off
	// after Line. A line cut in two by the break is dropped with it.
	Damaged bool
}

// String returns the problem on one line without control characters, such as
//
//	sample.csv:41: Quantity "twelve": not a whole number
func (p Problem) String() string {
	switch {
	case p.Damaged:
		return fmt.Sprintf("%s:%d: damaged after this line: %s", p.File, p.Line, p.Text)
	case p.Column == "":
		return fmt.Sprintf("%s:%d: line %s: %s", p.File, p.Line, p.Value, p.Text)
	}
	return fmt.Sprintf("%s:%d: %s %s: %s", p.File, p.Line, p.Column, p.Value, p.Text)
}

// flaw is what is wrong with one line, before it is known which line it is.
type flaw struct {
	column string
	value  []byte
	text   string
}

// excerptLen bounds what a problem shows of a value, in bytes.
const excerptLen = 40

func excerpt(value []byte) string {
	if len(value) <= excerptLen {
		return strconv.Quote(string(value))
	}
	end := excerptLen
	for end > excerptLen-utf8.UTFMax && !utf8.RuneStart(value[end]) {
		end--
	}
	return strconv.Quote(string(value[:end])) + "…"
}
