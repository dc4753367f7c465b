package wire

import (
	"bytes"
	"fmt"
)

// shallow says what is wrong with a JSON text whose arrays and objects are nested deeper than most. It does not look at
// what else is wrong. To count the brackets costs next to nothing, and most payloads have fewer than may be nested.
func shallow(text []byte, most int) error {
	if len(text) <= most || bytes.Count(text, []byte{'{'})+bytes.Count(text, []byte{'['}) <= most {
		return nil
	}
	for i, depth := 0, 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case c|0x20 == '{': // or [
			if depth++; depth > most {
				return fmt.Errorf("more than %d levels deep", most)
			}
		case c|0x20 == '}': // or ]
			depth--
		}
	}
	return nil
}
