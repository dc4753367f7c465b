package sqljournal

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A row that an earlier version has written must be the same as one that this version writes, and be read as
// encoding/json reads it.
func TestAttributesAreWhatEncodingJSONMakesOfThem(t *testing.T) {
	for _, attributes := range []map[string]string{
		{}, {"a": ""}, {"source": "jitney", "time": "2026-11-21T15:40:55.123456789Z", "datacontenttype": "application/json"},
		{"a": `"`}, {"a": `\`}, {"a": "<b>&"}, {"a": "ü"}, {"a": "\u2028"}, {"a": "\x7f"}, {"a": "\n"}, {"b": "x:y,z}{", "a": ":"},
	} {
		want, err := json.Marshal(attributes)
		require.NoError(t, err)
		text, err := writeAttributes(attributes)
		require.NoError(t, err)
		assert.Equal(t, string(want), text)
		read, ok := readAttributes(text, 3)
		assert.True(t, ok)
		assert.Equal(t, attributes, read)
	}
}

// FuzzAttributes compares what is read with what encoding/json reads.
func FuzzAttributes(f *testing.F) {
	for _, text := range []string{
		`{}`, `null`, ``, `{`, `}`, `{"a":"b"}`, `{"a":"b","c":"d"}`, `{"a":"b",}`, `{,}`, `{"a"}`, `{"a":}`, `{"a":1}`, `{"a":"b"}}`,
		`{"a":"b" }`, ` {"a":"b"}`, `{"a":"\u0041"}`, `{"a":"b","a":"c"}`, `{"a":"b""c":"d"}`, `{"a":"`, `{"}`, `{"a":"}`, `["a"]`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var want map[string]string
		err := json.Unmarshal([]byte(text), &want)
		read, ok := readAttributes(text, 0)
		require.Equal(t, err == nil && want != nil, ok)
		if ok {
			require.Equal(t, want, read)
		}
	})
}
