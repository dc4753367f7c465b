package deadletter

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jitney-go/jitney"
)

// maxFingerprint bounds the text of a fingerprint, in bytes.
const maxFingerprint = 200

// Fingerprint is what letters that died of the same cause have in common: the class of their last error,
// and its text without the parts that vary from event to event. In the text a word with a digit in it (a
// number, an id, an address), a long run of hexadecimal digits, and anything in quotes is replaced by "#".
// A number after the words status, code, http, errno or sqlstate is kept: 404 is not 503.
func Fingerprint(l jitney.DeadLetter) string {
	return l.Class() + ": " + pattern(l.LastError())
}

// pattern takes what varies out of an error's first line.
func pattern(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	var out strings.Builder
	before := "" // the last word
	for text != "" && out.Len() < maxFingerprint {
		if n := quoted(text); n > 0 {
			out.WriteString("#")
			text = text[n:]
			continue
		}
		if n := word(text); n > 0 {
			w := text[:n]
			if varies(w) && !isCode(before, w) {
				out.WriteString("#")
			} else {
				out.WriteString(w)
			}
			before, text = w, text[n:]
			continue
		}
		_, n := utf8.DecodeRuneInString(text)
		out.WriteString(text[:n])
		text = text[n:]
	}
	return squeeze(out.String())
}

// quoted is the length of the quotation that text begins with; 0 if it does not.
func quoted(text string) int {
	q := text[0]
	if q != '"' && q != '`' && q != '\'' {
		return 0
	}
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case q:
			return i + 1
		}
	}
	return 0
}

// word is the length of the word that text begins with. What joins the parts of ids, numbers, times and
// addresses belongs to the word, but not at its end.
func word(text string) (n int) {
	for i, r := range text {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '_':
			n = i + utf8.RuneLen(r)
		case n == 0, !strings.ContainsRune("-.:/@+%'", r):
			return n
		}
	}
	return n
}

// varies reports whether a word is likely to be another one in the next event.
func varies(w string) bool {
	if strings.ContainsFunc(w, unicode.IsDigit) {
		return true
	}
	return len(w) >= 8 && strings.Trim(w, "abcdefABCDEF") == ""
}

// isCode reports whether w, which follows before, is a number that tells errors apart.
func isCode(before, w string) bool {
	switch strings.ToLower(strings.TrimRight(before, ":=")) {
	case "status", "code", "http", "errno", "sqlstate":
		return len(w) <= 5
	}
	return false
}

// squeeze makes one "#" of several that follow each other.
func squeeze(s string) string {
	for _, pair := range []string{"# #", "#, #", "##"} {
		for strings.Contains(s, pair) {
			s = strings.ReplaceAll(s, pair, "#")
		}
	}
	return s
}
