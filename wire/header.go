package wire

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// EncodeHeader writes an attribute's value as the bindings for HTTP and NATS want it in a header: what is not
// printable ASCII, and space, double quote and percent, are percent-encoded. Kafka takes values as they are.
func EncodeHeader(value string) string {
	n := 0
	for i := range len(value) {
		if mustEncode(value[i]) {
			n++
		}
	}
	if n == 0 {
		return value
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	b.Grow(len(value) + 2*n)
	for i := range len(value) {
		c := value[i]
		if mustEncode(c) {
			b.WriteString(string([]byte{'%', hex[c>>4], hex[c&15]}))
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func mustEncode(c byte) bool { return c <= ' ' || c == '"' || c == '%' || c >= 0x7f }

// DecodeHeader reads what EncodeHeader, or another program, has written. Percent signs that begin no byte are
// ErrMalformed, as is what is not UTF-8. Double quotes around the whole, which older programs write, are taken off.
func DecodeHeader(value string) (string, error) {
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		value = unquote(value[1 : len(value)-1])
	}
	if !strings.Contains(value, "%") && utf8.ValidString(value) {
		return value, nil
	}
	b := make([]byte, 0, len(value))
	for i := 0; i < len(value); i++ {
		if value[i] != '%' {
			b = append(b, value[i])
			continue
		}
		if i+2 >= len(value) || nibble(value[i+1]) < 0 || nibble(value[i+2]) < 0 {
			return "", fmt.Errorf("wire: header: %w: a percent sign that begins no byte", ErrMalformed)
		}
		b = append(b, byte(nibble(value[i+1])<<4|nibble(value[i+2])))
		i += 2
	}
	if !utf8.Valid(b) {
		return "", fmt.Errorf("wire: header: %w: not UTF-8", ErrMalformed)
	}
	return string(b), nil
}

func unquote(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func nibble(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}
