package natsjournal

import "strings"

// subject is where events of a type are published: the dots between the words of its name stay, so that a NATS
// subscription can have a family of them.
func subject(stream, typ string) string { return stream + ".event." + escape(typ, true) }

// escape writes a name with the characters that subjects and keys of buckets have in common: letters, digits, - and _
// stay, all else is = and two hexadecimal digits for each byte. Dots stay where they are asked to, if a subject may have
// them there. Different names stay different.
func escape(name string, dots bool) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		dot := dots && c == '.' && i > 0 && i < len(name)-1 && name[i-1] != '.'
		if dot || plain(c) {
			b.WriteByte(c)
		} else {
			b.WriteString(string([]byte{'=', hex[c>>4], hex[c&15]}))
		}
	}
	if name == "" {
		return "="
	}
	return b.String()
}

func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// unescape reads what escape has written.
func unescape(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '=' && i+2 < len(text) {
			b.WriteByte(nibble(text[i+1])<<4 | nibble(text[i+2]))
			i += 2
		} else if text[i] != '=' {
			b.WriteByte(text[i])
		}
	}
	return b.String()
}

func nibble(c byte) byte {
	if c >= 'A' {
		return c - 'A' + 10
	}
	return c - '0'
}
