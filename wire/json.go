package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"
)

// MediaType is the content type of an event in structured mode.
const MediaType = "application/cloudevents+json"

// integers are the attributes that are written as JSON numbers.
var integers = map[string]bool{EventVersion: true, Hops: true}

// MarshalJSON writes m in structured mode: one JSON object. The required attributes come first, the payload last;
// without one of them the error is ErrMalformed. A payload that is not JSON is written as base64.
func (m Message) MarshalJSON() ([]byte, error) {
	if err := m.complete(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteByte('{')
	first := [...]string{SpecVersion, ID, Source, Type, Time}
	for _, name := range first {
		if value, set := m.Attributes[name]; set {
			member(&b, name, value)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Attributes)) {
		if !slices.Contains(first[:], name) {
			member(&b, name, m.Attributes[name])
		}
	}
	switch {
	case m.Data == nil:
	case m.Attributes[DataContentType] != "" && isJSON(m.Attributes[DataContentType]) && strict(m.Data, Limits{}.orDefaults().Depth-1) == nil:
		b.WriteString(`,"data":`)
		b.Write(m.Data)
	default:
		b.WriteString(`,"data_base64":"`)
		b.WriteString(base64.StdEncoding.EncodeToString(m.Data))
		b.WriteByte('"')
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func member(b *bytes.Buffer, name, value string) {
	if b.Len() > 1 {
		b.WriteByte(',')
	}
	b.Write(quoted(name)) // Parse takes names that the specification does not know
	b.WriteByte(':')
	if n, err := strconv.ParseInt(value, 10, 32); integers[name] && err == nil && strconv.FormatInt(n, 10) == value {
		b.WriteString(value)
		return
	}
	b.Write(quoted(value))
}

func quoted(s string) []byte {
	text, err := json.Marshal(s)
	if err != nil { // it is a string
		panic(err)
	}
	return text
}

// Parse reads an event in structured mode. It is strict, for anybody may have written it: what is too large or too
// deep, is no UTF-8, or has a name twice in any of its objects, is refused with ErrPayloadTooLarge or ErrMalformed.
func Parse(text []byte, limits Limits) (m Message, err error) {
	limits = limits.orDefaults()
	if most := limits.Data/3*4 + 4*limits.Header + 4096; len(text) > most {
		return m, fmt.Errorf("wire: parse: %w: %d bytes, at most %d", ErrPayloadTooLarge, len(text), most)
	}
	if err := strict(text, limits.Depth); err != nil {
		return m, fmt.Errorf("wire: parse: %w: %w", ErrMalformed, err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return m, fmt.Errorf("wire: parse: %w: %s", ErrMalformed, discreet(err))
	}
	if m, err = fromMembers(members); err != nil {
		return Message{}, fmt.Errorf("wire: parse: %w: %w", ErrMalformed, err)
	}
	if err := errors.Join(m.complete(), fits(m.Data, limits)); err != nil {
		return Message{}, fmt.Errorf("wire: parse: %w", err)
	}
	return m, nil
}

func fromMembers(members map[string]json.RawMessage) (m Message, err error) {
	m.Attributes = make(map[string]string, len(members))
	for name, value := range members {
		if name == "data" || name == "data_base64" {
			continue
		}
		text, set, err := scalar(value)
		if err != nil {
			return m, fmt.Errorf("attribute %q: %w", clip(name), err)
		}
		if set {
			m.Attributes[name] = text
		}
	}
	data, hasData := members["data"]
	encoded, hasEncoded := members["data_base64"]
	hasEncoded = hasEncoded && string(encoded) != "null"
	switch contentType := m.Attributes[DataContentType]; {
	case hasData && hasEncoded:
		return m, fmt.Errorf("both data and data_base64")
	case hasEncoded:
		var text string
		if json.Unmarshal(encoded, &text) != nil {
			return m, fmt.Errorf("data_base64 is no string")
		}
		m.Data, err = base64.StdEncoding.DecodeString(text)
		declare(m.Attributes, m.Data)
	case hasData && isJSON(contentType):
		m.Data = data
		if contentType == "" {
			m.Attributes[DataContentType] = jsonType
		}
	case hasData:
		var text *string
		if json.Unmarshal(data, &text) != nil || text == nil {
			return m, fmt.Errorf("data is no string, and the content type not JSON")
		}
		m.Data = []byte(*text)
	}
	return m, err
}

// scalar returns an attribute's canonical string; null is not set.
func scalar(value json.RawMessage) (text string, set bool, err error) {
	switch value[0] {
	case '"':
		err = json.Unmarshal(value, &text)
		return text, true, err
	case 'n':
		return "", false, nil
	case 't', 'f':
		return string(value), true, nil
	case '{', '[':
		return "", false, fmt.Errorf("an object or array")
	}
	n, err := strconv.ParseInt(string(value), 10, 32)
	if err != nil {
		return "", false, fmt.Errorf("a number that is no integer of 32 bits")
	}
	return strconv.FormatInt(n, 10), true, nil
}

// strict says what is wrong with a JSON text that encoding/json would let pass.
func strict(text []byte, depth int) error {
	if !utf8.Valid(text) {
		return fmt.Errorf("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var open []map[string]bool // the objects and arrays that have begun; names seen in it, or nil for an array
	isName := false            // the next string is one
	for {
		token, err := d.Token()
		if err != nil {
			return fmt.Errorf("no JSON at byte %d", d.InputOffset())
		}
		name, isString := token.(string)
		switch {
		case token == json.Delim('{') || token == json.Delim('['):
			if len(open) == depth {
				return fmt.Errorf("more than %d levels deep", depth)
			}
			open = append(open, nil)
			if token == json.Delim('{') {
				open[len(open)-1] = make(map[string]bool)
			}
		case token == json.Delim('}') || token == json.Delim(']'):
			open = open[:len(open)-1]
		case isString && isName:
			names := open[len(open)-1]
			switch {
			case names[name] && len(open) == 1:
				return fmt.Errorf("name %q twice", clip(name))
			case names[name]: // the payload's names may be anything, as those of a map are
				return fmt.Errorf("a name twice in one object, at byte %d", d.InputOffset())
			}
			names[name] = true
			isName = false
			continue
		}
		if len(open) == 0 {
			break
		}
		isName = open[len(open)-1] != nil
	}
	if len(bytes.TrimSpace(text[d.InputOffset():])) > 0 {
		return fmt.Errorf("more after the end")
	}
	return nil
}
