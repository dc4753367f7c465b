package sqljournal

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// The attributes of an event are a JSON object of strings. Nearly all of them are ASCII that needs no escape, and are
// written and read here; encoding/json, which writes the same bytes, does the rest.

// writeAttributes returns what json.Marshal returns.
func writeAttributes(attributes map[string]string) (string, error) {
	size := 2
	for name, value := range attributes {
		if !bare(name) || !bare(value) {
			text, err := json.Marshal(attributes)
			return string(text), err
		}
		size += len(name) + len(value) + len(`"":"",`)
	}
	var b strings.Builder
	b.Grow(size)
	b.WriteByte('{')
	for i, name := range slices.Sorted(maps.Keys(attributes)) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('"')
		b.WriteString(name)
		b.WriteString(`":"`)
		b.WriteString(attributes[name])
		b.WriteByte('"')
	}
	b.WriteByte('}')
	return b.String(), nil
}

// bare reports whether encoding/json writes s as it is.
func bare(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			return false
		}
	}
	return true
}

// readAttributes returns what writeAttributes has written, with room for more names in the map.
func readAttributes(text string, more int) (map[string]string, bool) {
	if attributes, ok := readBare(text, more); ok {
		return attributes, true
	}
	var attributes map[string]string
	err := json.Unmarshal([]byte(text), &attributes)
	return attributes, err == nil && attributes != nil
}

// readBare reads an object as writeAttributes writes it where nothing needs an escape. Of anything else it says that it
// is not.
func readBare(text string, more int) (map[string]string, bool) {
	if len(text) < 2 || text[0] != '{' || text[len(text)-1] != '}' {
		return nil, false
	}
	attributes := make(map[string]string, strings.Count(text, ":")+more)
	rest := text[1 : len(text)-1]
	for len(rest) > 0 {
		name, behind, ok := quoted(rest)
		if !ok || behind == "" || behind[0] != ':' {
			return nil, false
		}
		value, behind, ok := quoted(behind[1:])
		if !ok {
			return nil, false
		}
		attributes[name] = value
		if behind == "" {
			return attributes, true
		}
		if behind[0] != ',' || len(behind) == 1 {
			return nil, false
		}
		rest = behind[1:]
	}
	return attributes, true
}

// quoted returns the bare text between the quotes that s begins with, and what is behind them.
func quoted(s string) (text, behind string, ok bool) {
	if s == "" || s[0] != '"' {
		return "", "", false
	}
	end := strings.IndexByte(s[1:], '"')
	if end < 0 || !bare(s[1:1+end]) {
		return "", "", false
	}
	return s[1 : 1+end], s[2+end:], true
}
