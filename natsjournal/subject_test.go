package natsjournal

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTypesHaveSubjectsThatLookLikeThem(t *testing.T) {
	for typ, want := range map[string]string{
		"orders.placed": "S.event.orders.placed", "orders.*": "S.event.orders.=2A", ">": "S.event.=3E", "a b": "S.event.a=20b",
		".a": "S.event.=2Ea", "a.": "S.event.a=2E", "a..b": "S.event.a.=2Eb", "=2E": "S.event.=3D2E", "ü": "S.event.=C3=BC", "": "S.event.=",
	} {
		assert.Equal(t, want, subject("S", typ))
	}
	for _, name := range []string{"billing", "a.b", ">", "", "ü=", "aside.7"} {
		got, pos, err := parseKey(asideKey(name, 42))
		require.NoError(t, err)
		assert.Equal(t, name, got)
		assert.EqualValues(t, 42, pos)
		got, pos, err = parseKey(placeKey(name))
		require.NoError(t, err)
		assert.Equal(t, name, got)
		assert.Zero(t, pos)
	}
	_, _, err := parseKey("a.else")
	require.ErrorIs(t, err, ErrCorrupt)
}

func FuzzEscape(f *testing.F) {
	f.Add("orders.placed", "orders..placed")
	f.Add("=2E", ".")
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, dots := range []bool{true, false} {
			text := escape(a, dots)
			require.Equal(t, a, unescape(text))
			require.Equal(t, a == b, text == escape(b, dots))
			for token := range strings.SplitSeq(text, ".") {
				require.NotEmpty(t, token)
			}
			require.Equal(t, -1, strings.IndexFunc(text, func(r rune) bool { return r > '~' || !plain(byte(r)) && r != '.' && r != '=' }))
		}
	})
}
