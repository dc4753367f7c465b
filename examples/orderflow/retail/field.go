package retail

import (
	"bytes"
	"errors"
)

var (
	errOpenQuote  = errors.New("quote not closed on its line")
	errStrayQuote = errors.New("quote inside a field without quotes around it")
	errAfterQuote = errors.New("text after the closing quote")
	errFields     = errors.New("more fields than the header")
)

// split appends the fields of a line to fields, at most limit. They share
// the line's memory. With an error about a quote the last field is the one at
// fault and holds all that follows.
//
// It takes the place of encoding/csv, for which a quote never closed makes
// the rest of the file one field.
func split(fields [][]byte, line []byte, limit int) ([][]byte, error) {
	for range limit {
		field, rest, more, err := cutField(line)
		fields = append(fields, field)
		if err != nil || !more {
			return fields, err
		}
		line = rest
	}
	return fields, errFields
}

// cutField takes the first field off the line. more tells whether a comma
// follows it.
func cutField(line []byte) (field, rest []byte, more bool, err error) {
	if bytes.HasPrefix(line, []byte(`"`)) {
		return cutQuoted(line)
	}
	field, rest, more = bytes.Cut(line, []byte(","))
	if bytes.IndexByte(field, '"') >= 0 {
		return line, nil, false, errStrayQuote
	}
	return field, rest, more, nil
}

func cutQuoted(line []byte) (field, rest []byte, more bool, err error) {
	end, doubled := closingQuote(line)
	if end < 0 {
		return line, nil, false, errOpenQuote
	}
	field, rest = line[1:end], line[end+1:]
	if doubled {
		field = bytes.ReplaceAll(field, []byte(`""`), []byte(`"`))
	}
	if len(rest) == 0 {
		return field, nil, false, nil
	}
	if rest[0] != ',' {
		return line, nil, false, errAfterQuote
	}
	return field, rest[1:], true, nil
}

// closingQuote returns where the quote that opens the line is closed, or -1,
// and whether there are doubled quotes before that.
func closingQuote(line []byte) (end int, doubled bool) {
	for end = 1; ; end += 2 {
		next := bytes.IndexByte(line[end:], '"')
		if next < 0 {
			return -1, doubled
		}
		end += next
		if end+1 == len(line) || line[end+1] != '"' {
			return end, doubled
		}
		doubled = true
		if end+2 >= len(line) {
			return -1, doubled
		}
	}
}
