package wire_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/wire"
)

var golden = flag.Bool("golden", false, "write the golden files that are missing; those there are stay as they are")

// placed is an event in its third version.
type placed struct {
	Order string
	Cents int64
	Lines []line
}

type line struct{ Article string }

func (placed) EventType() string { return "orders.placed" }
func (placed) EventVersion() int { return 3 }

// noted is an event by pointer, without versions.
type noted struct {
	Text string
	Any  any
}

func (*noted) EventType() string { return "notes.noted" }

func types() *wire.Types {
	ts := wire.NewTypes()
	wire.Register[placed](ts)
	wire.Register[*noted](ts)
	wire.Upcast(ts, "orders.placed", 1, func(old json.RawMessage) (json.RawMessage, error) { // it had no Cents, but Euros
		var o struct {
			Order string
			Euros float64
		}
		if err := json.Unmarshal(old, &o); err != nil {
			return nil, err
		}
		return json.Marshal(map[string]any{"OrderID": o.Order, "Cents": int64(math.Round(o.Euros * 100))})
	})
	wire.Upcast(ts, "orders.placed", 2, func(old json.RawMessage) (json.RawMessage, error) { // Order was called OrderID
		return bytes.Replace(old, []byte(`"OrderID"`), []byte(`"Order"`), 1), nil
	})
	return ts
}

func envelope(e jitney.Event) *jitney.Envelope {
	env := &jitney.Envelope{
		ID:   uuid.MustParse("0192f3a0-5b1e-7c6d-8a4f-000000000001"),
		Type: e.EventType(), Version: 1, Time: time.Date(2026, 11, 21, 12, 0, 0, 123456789, time.UTC),
		Source: "shop", Key: "customer 17/ü", Correlation: "req-1", Hops: 2,
		CausationID: uuid.MustParse("0192f3a0-5b1e-7c6d-8a4f-000000000002"),
		Headers: map[string]string{
			"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tenant": "a b%\"c",
		},
		Event: e,
	}
	if v, ok := e.(interface{ EventVersion() int }); ok {
		env.Version = v.EventVersion()
	}
	return env
}

func TestEnvelopeComesBackAsItWas(t *testing.T) {
	for _, e := range []jitney.Event{
		placed{Order: "o-1", Cents: 4200, Lines: []line{{"white hanging heart"}}},
		&noted{Text: "\ufffd and \\ufffd are texts", Any: map[string]any{"deep": []any{1.5, nil, true}}},
		jitney.RawEvent{Type: "other.team", Version: 7, ContentType: "application/json", Data: []byte(`{"a":[1]}`)},
		jitney.RawEvent{Type: "other.team", Version: 1, ContentType: "image/png", Data: []byte{0, 1, 0xff}},
	} {
		t.Run(e.EventType(), func(t *testing.T) {
			env := envelope(e)
			m, err := wire.Encode(env, wire.Limits{})
			require.NoError(t, err)
			text, err := m.MarshalJSON()
			require.NoError(t, err)
			parsed, err := wire.Parse(text, wire.Limits{})
			require.NoError(t, err)
			assert.Equal(t, m, parsed, "structured and binary mode say the same")
			back, err := types().Decode(parsed)
			require.NoError(t, err)
			assert.Equal(t, env, back)
		})
	}
}

func TestEnvelopeOfAPublicationWithoutAnythingSpecial(t *testing.T) {
	b := jitney.New()
	var got *jitney.Envelope
	jitney.Subscribe(b, "s", func(ctx context.Context, _ placed) error {
		got = jitney.FromContext(ctx).Envelope
		return nil
	}, jitney.WithSync())
	require.NoError(t, b.Publish(t.Context(), placed{Order: "1"}))
	require.NoError(t, b.Shutdown(t.Context()))
	m, err := wire.Encode(got, wire.Limits{})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{
		"specversion": "1.0", "id": got.ID.String(), "source": "/", "type": "orders.placed", "eventversion": "3",
		"time": got.Time.UTC().Format(time.RFC3339Nano), "datacontenttype": "application/json",
	}, m.Attributes)
	back, err := types().Decode(m)
	require.NoError(t, err)
	assert.True(t, got.Time.Equal(back.Time))
	assert.Equal(t, got.Event, back.Event)
	assert.Empty(t, back.Source)
}

// The events of section 3.2 of the specification's JSON format 1.0.2, here with real base64, and beside each the
// binary mode that the section gives for it.
func TestExamplesOfTheSpecification(t *testing.T) {
	common := map[string]string{
		"specversion": "1.0", "type": "com.example.someevent", "source": "/mycontext",
		"time": "2018-04-05T17:31:00Z", "comexampleextension1": "value", "comexampleothervalue": "5",
	}
	head := `{"specversion":"1.0","type":"com.example.someevent","source":"/mycontext","time":"2018-04-05T17:31:00Z",` +
		`"comexampleextension1":"value","comexampleothervalue":5,`
	for id, c := range map[string]struct{ rest, contentType, data string }{
		"A234-1234-1234": {`"datacontenttype":"application/vnd.apache.thrift.binary","data_base64":"` + base64.StdEncoding.EncodeToString([]byte("\x00raw")) + `"`, "application/vnd.apache.thrift.binary", "\x00raw"},
		"B234-1234-1234": {`"unsetextension":null,"datacontenttype":"application/xml","data":"<much wow=\"xml\"/>"`, "application/xml", `<much wow="xml"/>`},
		"C234-1234-1234": {`"subject":null,"datacontenttype":"application/json","data":{"appinfoA":"abc","appinfoB":123,"appinfoC":true}`, "application/json", `{"appinfoA":"abc","appinfoB":123,"appinfoC":true}`},
		"D234-1234-1234": {`"subject":null,"data":"I'm just a string"`, "application/json", `"I'm just a string"`},
	} {
		t.Run(id, func(t *testing.T) {
			m, err := wire.Parse([]byte(head+`"id":"`+id+`",`+c.rest+`}`), wire.Limits{})
			require.NoError(t, err)
			want := map[string]string{"id": id, "datacontenttype": c.contentType}
			for name, value := range common {
				want[name] = value
			}
			assert.Equal(t, want, m.Attributes)
			assert.Equal(t, c.data, string(m.Data))

			env, err := types().Decode(m)
			require.NoError(t, err)
			assert.Equal(t, jitney.RawEvent{Type: "com.example.someevent", Version: 1, ContentType: c.contentType, Data: []byte(c.data)}, env.Event)
			assert.Equal(t, map[string]string{"comexampleextension1": "value", "comexampleothervalue": "5", "originalid": id}, env.Headers)
			again, err := types().Decode(m)
			require.NoError(t, err)
			assert.Equal(t, env.ID, again.ID, "the same event has the same ID each time")
			m.Attributes["source"] = "/elsewhere"
			other, err := types().Decode(m)
			require.NoError(t, err)
			assert.NotEqual(t, env.ID, other.ID, "ids are their source's")
		})
	}
}

func TestWhatIsRefusedWhenEncoding(t *testing.T) {
	e := placed{Order: "1"}
	header := func(name, value string) *jitney.Envelope {
		env := envelope(e)
		env.Headers = map[string]string{name: value}
		return env
	}
	key := envelope(e)
	key.Key = "\xff"
	many := envelope(e)
	for i := range 65 {
		many.Headers[fmt.Sprint("h", i)] = ""
	}
	for name, c := range map[string]struct {
		env      *jitney.Envelope
		want     error
		mentions string
	}{
		"channel":              {envelope(&noted{Any: make(chan int)}), wire.ErrEncode, "chan int"},
		"function":             {envelope(&noted{Any: map[string]any{"f": func() {}}}), wire.ErrEncode, "func()"},
		"NaN":                  {envelope(&noted{Any: math.NaN()}), wire.ErrEncode, "NaN"},
		"not UTF-8":            {envelope(placed{Lines: []line{{"ok"}, {"secret\xff"}}}), wire.ErrEncode, "Lines[1].Article is not UTF-8"},
		"key not UTF-8":        {key, wire.ErrEncode, "partitionkey is not UTF-8"},
		"cycle":                {envelope(cycle()), wire.ErrEncode, "cycle"},
		"a panic":              {envelope(&noted{Any: bomb{}}), wire.ErrEncode, "panic with a string"},
		"somebody's error":     {envelope(&noted{Any: grumpy{}}), wire.ErrEncode, "grumpy fails with a *errors.errorString"},
		"1 MiB and a bit":      {envelope(placed{Order: strings.Repeat("x", 1<<20)}), wire.ErrPayloadTooLarge, "at most 1048576"},
		"65 headers":           {many, wire.ErrHeadersTooLarge, "at most 64"},
		"a header of 9 KiB":    {header("big", strings.Repeat("x", 9<<10)), wire.ErrHeadersTooLarge, "of 8192"},
		"header in upper case": {header("Tenant", "a"), wire.ErrInvalidHeader, `"Tenant"`},
		"header with CR":       {header("tenant", "a\rb"), wire.ErrInvalidHeader, "tenant has a control character"},
		"header named id":      {header("id", "a"), wire.ErrInvalidHeader, `"id"`},
		"header named ce-x":    {header("ce-x", "a"), wire.ErrInvalidHeader, `"ce-x"`},
		"header without name":  {header("", "a"), wire.ErrInvalidHeader, `""`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := wire.Encode(c.env, wire.Limits{})
			require.ErrorIs(t, err, c.want)
			assert.Contains(t, err.Error(), c.mentions)
			assert.NotContains(t, err.Error(), "secret", "no value is shown")
		})
	}
}

func cycle() jitney.Event {
	n := &noted{}
	n.Any = n
	return n
}

type bomb struct{}

func (bomb) MarshalJSON() ([]byte, error) { panic("secret") }

type grumpy struct{}

func (grumpy) MarshalJSON() ([]byte, error) { return nil, fmt.Errorf("secret %d", 1) }

func TestWhatIsRefusedWhenReading(t *testing.T) {
	head := `{"specversion":"1.0","type":"orders.placed","source":"/s","id":"1"`
	for name, c := range map[string]struct{ text, mentions string }{
		"nothing":              {``, "no JSON"},
		"cut off":              {head, "no JSON"},
		"more after the end":   {head + `} {}`, "more after the end"},
		"byte order mark":      {"\ufeff" + head + `}`, "no JSON"},
		"not UTF-8":            {head + `,"data":"` + "\xff" + `"}`, "not UTF-8"},
		"array":                {`[]`, "JSON array"},
		"name twice":           {head + `,"id":"2"}`, `name "id" twice`},
		"name twice, escaped":  {head + `,"\u0069d":"2"}`, `name "id" twice`},
		"name twice, inside":   {head + `,"data":{"a":1,"b":[{"secret":1,"secret":2}]}}`, "a name twice in one object, at byte"},
		"100,000 levels":       {head + `,"data":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`, "more than 64 levels"},
		"float attribute":      {head + `,"x":1.5}`, "no integer"},
		"huge attribute":       {head + `,"x":1e400}`, "no integer"},
		"33 bits":              {head + `,"x":4294967296}`, "no integer"},
		"object attribute":     {head + `,"x":{}}`, "object"},
		"data in two ways":     {head + `,"data":1,"data_base64":"AA=="}`, "both"},
		"no base64":            {head + `,"data_base64":"%"}`, "base64"},
		"base64 is no string":  {head + `,"data_base64":1}`, "no string"},
		"XML that is no text":  {head + `,"datacontenttype":"text/xml","data":{}}`, "no string"},
		"XML that is null":     {head + `,"datacontenttype":"text/xml","data":null}`, "no string"},
		"attribute upper case": {head + `,"X":"1","data":{}}`, `"X"`},
		"time":                 {head + `,"time":"secret","data":{}}`, "time"},
		"causation":            {head + `,"causationid":"urn+secret678901234567890123456789012345678901","data":{}}`, "causationid: no UUID"},
		"version in words":     {head + `,"eventversion":"secret","data":{}}`, "eventversion"},
		"hops in words":        {head + `,"hops":"secret","data":{}}`, "hops"},
		"version 0":            {head + `,"eventversion":0,"data":{}}`, "eventversion"},
		"hops -1":              {head + `,"hops":-1,"data":{}}`, "hops"},
		"no id":                {`{"specversion":"1.0","type":"t","source":"/s"}`, "no id"},
		"specversion 0.3":      {`{"specversion":"0.3","type":"t","source":"/s","id":"1"}`, "0.3"},
		"control character":    {head + `,"x":"a\u0000b","data":{}}`, "control"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := wire.Parse([]byte(c.text), wire.Limits{})
			if err == nil {
				_, err = types().Decode(m)
			}
			require.ErrorIs(t, err, wire.ErrMalformed)
			assert.Contains(t, err.Error(), c.mentions)
			assert.NotContains(t, err.Error(), "secret")
		})
	}
	_, err := wire.Parse(bytes.Repeat([]byte(" "), 2<<20), wire.Limits{})
	require.ErrorIs(t, err, wire.ErrPayloadTooLarge)
	_, err = wire.Parse([]byte(head+`,"data":"`+strings.Repeat("x", 1<<20)+`"}`), wire.Limits{})
	require.ErrorIs(t, err, wire.ErrPayloadTooLarge)
}

func TestAPayloadThatDoesNotFitItsTypeIsAnErrorWithoutItsValues(t *testing.T) {
	for name, c := range map[string]struct{ data, mentions string }{
		"other kind":    {`{"Order":"1","Cents":"secret"}`, `a JSON string where field "Cents" has Go type int64`},
		"too large":     {`{"Cents":1e400}`, `a JSON number where field "Cents"`},
		"no payload":    {``, "no payload"},
		"no JSON":       {`{secret`, "no JSON at byte 2"},
		"null is empty": {`null`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := wire.Encode(envelope(placed{}), wire.Limits{})
			require.NoError(t, err)
			m.Data = []byte(c.data)
			_, err = types().Decode(m)
			if c.mentions == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, wire.ErrDecode)
			assert.Contains(t, err.Error(), c.mentions)
			assert.Contains(t, err.Error(), "orders.placed")
			assert.NotContains(t, err.Error(), "secret")
		})
	}
}

func TestOldVersionsBecomeTheNewest(t *testing.T) {
	for version, data := range map[string]string{
		"":  `{"Order":"o-1","Euros":42}`,
		"2": `{"OrderID":"o-1","Cents":4200}`,
		"3": `{"Order":"o-1","Cents":4200}`,
	} {
		m, err := wire.Encode(envelope(placed{}), wire.Limits{})
		require.NoError(t, err)
		m.Data = []byte(data)
		delete(m.Attributes, "eventversion")
		if version != "" {
			m.Attributes["eventversion"] = version
		}
		env, err := types().Decode(m)
		require.NoError(t, err)
		assert.Equal(t, placed{Order: "o-1", Cents: 4200}, env.Event, "from version %q", version)
		assert.Equal(t, 3, env.Version)
	}
}

func TestWhatThisProgramDoesNotKnowStaysAsItCame(t *testing.T) {
	m, err := wire.Encode(envelope(placed{Order: "1"}), wire.Limits{})
	require.NoError(t, err)
	m.Attributes["eventversion"] = "4"
	env, err := types().Decode(m)
	require.NoError(t, err)
	assert.Equal(t, jitney.RawEvent{Type: "orders.placed", Version: 4, ContentType: "application/json", Data: m.Data}, env.Event)
	back, err := wire.Encode(env, wire.Limits{})
	require.NoError(t, err)
	assert.Equal(t, m, back)

	empty := wire.NewTypes()
	assert.False(t, empty.Knows("orders.placed", 1))
	assert.True(t, types().Knows("orders.placed", 1))
	assert.False(t, types().Knows("orders.placed", 4))
}

func TestCheckNamesGapsTogether(t *testing.T) {
	same := func(old json.RawMessage) (json.RawMessage, error) { return old, nil }
	ts := wire.NewTypes()
	wire.Register[placed](ts)
	wire.Upcast(ts, "orders.placed", 1, same)
	wire.Upcast(ts, "orders.placed", 3, same)
	wire.Upcast(ts, "orders.gone", 1, same)
	err := ts.Check()
	require.Error(t, err)
	for _, part := range []string{"no upcaster from version 2 to 3", "upcaster from version 3", `"orders.gone", which is not registered`} {
		assert.Contains(t, err.Error(), part)
	}
	assert.False(t, ts.Knows("orders.placed", 1), "there is a gap")
	require.NoError(t, types().Check())
	assert.Equal(t, []string{"notes.noted", "orders.placed"}, types().Names())
}

type impostor struct{}

func (impostor) EventType() string { return "orders.placed" }

func TestWrongRegistrationsPanic(t *testing.T) {
	ts := types()
	wire.Register[placed](ts) // again is no mistake
	assert.PanicsWithValue(t, `wire: Register: "orders.placed" belongs to wire_test.placed, not wire_test.impostor`, func() { wire.Register[impostor](ts) })
	assert.Panics(t, func() { wire.Register[jitney.Event](ts) })
	assert.Panics(t, func() { wire.Register[jitney.RawEvent](ts) })
	assert.PanicsWithValue(t, `wire: Upcast "orders.placed" from version 1: given twice`, func() {
		wire.Upcast(ts, "orders.placed", 1, func(old json.RawMessage) (json.RawMessage, error) { return old, nil })
	})
	assert.Panics(t, func() { wire.Upcast(ts, "orders.placed", 2, nil) })
}

func TestAnUpcasterThatFailsIsAnError(t *testing.T) {
	for _, up := range []wire.Upcaster{
		func(json.RawMessage) (json.RawMessage, error) { return nil, os.ErrInvalid },
		func(json.RawMessage) (json.RawMessage, error) { panic("secret") },
		func(json.RawMessage) (json.RawMessage, error) {
			return nil, fmt.Errorf("cents: %w", json.Unmarshal([]byte("4200"), new(int8))) // its text shows the number
		},
	} {
		ts := wire.NewTypes()
		wire.Register[placed](ts)
		wire.Upcast(ts, "orders.placed", 2, up)
		m, err := wire.Encode(envelope(placed{}), wire.Limits{})
		require.NoError(t, err)
		m.Attributes["eventversion"] = "2"
		_, err = ts.Decode(m)
		require.ErrorIs(t, err, wire.ErrDecode)
		assert.Contains(t, err.Error(), "upcaster from version 2")
		assert.NotContains(t, err.Error(), "secret")
		assert.NotContains(t, err.Error(), "4200")
	}
}

func TestHeadersOfHTTP(t *testing.T) {
	for value, encoded := range map[string]string{
		"":            "",
		"plain-1":     "plain-1",
		"Euro € 😀":    "Euro%20%E2%82%AC%20%F0%9F%98%80", // the example of the specification's HTTP binding
		`"100 %"`:     "%22100%20%25%22",
		"/mycontext?": "/mycontext?",
	} {
		assert.Equal(t, encoded, wire.EncodeHeader(value))
		back, err := wire.DecodeHeader(encoded)
		require.NoError(t, err)
		assert.Equal(t, value, back)
	}
	back, err := wire.DecodeHeader(`"a \"b\" %41"`)
	require.NoError(t, err)
	assert.Equal(t, `a "b" A`, back, "as older programs write it")
	for _, bad := range []string{"%", "%4", "%zz", "%ff", "\xff"} {
		_, err := wire.DecodeHeader(bad)
		require.ErrorIs(t, err, wire.ErrMalformed, bad)
	}
}

// What a release has written must be read by all later ones: files are added here, and never changed.
func TestGoldenFilesAreStillRead(t *testing.T) {
	for name, e := range map[string]jitney.Event{
		"placed-v3": placed{Order: "o-1", Cents: 4200, Lines: []line{{"white hanging heart"}}},
		"noted":     &noted{Text: "grüße \u2028 <b>", Any: []any{"x", 1.5, nil}},
		"raw":       jitney.RawEvent{Type: "other.team", Version: 2, ContentType: "image/png", Data: []byte{1, 2, 3}},
	} {
		file := filepath.Join("testdata", "golden", name+".json")
		if _, err := os.Stat(file); *golden && err != nil {
			m, err := wire.Encode(envelope(e), wire.Limits{})
			require.NoError(t, err)
			text, err := m.MarshalJSON()
			require.NoError(t, err)
			require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
			require.NoError(t, os.WriteFile(file, append(text, '\n'), 0o644))
		}
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		m, err := wire.Parse(text, wire.Limits{})
		require.NoError(t, err)
		env, err := types().Decode(m)
		require.NoError(t, err)
		assert.Equal(t, envelope(e), env, name)
	}
	text, err := os.ReadFile(filepath.Join("testdata", "golden", "placed-v1.json"))
	require.NoError(t, err)
	m, err := wire.Parse(text, wire.Limits{})
	require.NoError(t, err)
	env, err := types().Decode(m)
	require.NoError(t, err)
	assert.Equal(t, placed{Order: "o-1", Cents: 4200}, env.Event)
}

// nested is a JSON text of so many levels.
func nested(levels int) string {
	return strings.Repeat(`{"a":[`, levels/2) + strings.Repeat("]}", levels/2)
}

func TestAPayloadThatIsTooDeepIsMalformed(t *testing.T) {
	within := func(data string) string { return `{"Any":` + data + `}` } // one level more
	for name, c := range map[string]struct {
		data string
		deep bool
	}{
		"as deep as may be":      {`{"Any":[` + nested(62) + `]}`, false},
		"one level more":         {within(nested(64)), true},
		"a thousand":             {within(nested(1000)), true},
		"without an end":         {strings.Repeat("[", 1000), true},
		"wide":                   {within(`[` + strings.Repeat("[],{},", 500) + `[]]`), false},
		"brackets in a string":   {`{"Text":"` + strings.Repeat("[{", 500) + `"}`, false},
		"behind an escape":       {`{"Text":"\"` + strings.Repeat("[{", 500) + `"}`, false},
		"behind a whole string":  {`{"Text":"\\","Any":` + nested(64) + `}`, true},
		"brackets of a name too": {`{"` + strings.Repeat("[{", 500) + `":1}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := wire.Encode(envelope(&noted{}), wire.Limits{})
			require.NoError(t, err)
			m.Data = []byte(c.data)
			_, err = types().Decode(m)
			if !c.deep {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, wire.ErrMalformed)
			assert.Contains(t, err.Error(), "64 levels")
			assert.Contains(t, err.Error(), "notes.noted")
			_, err = types().WithLimits(wire.Limits{Depth: 2000}).Decode(m)
			assert.NotErrorIs(t, err, wire.ErrMalformed)
			m.Attributes[wire.Type] = "other.team"
			env, err := types().Decode(m)
			require.NoError(t, err)
			assert.Equal(t, c.data, string(env.Event.(jitney.RawEvent).Data), "nobody decodes it")
		})
	}
}

func TestWhatDecodeWouldFindTooDeepIsNotEncoded(t *testing.T) {
	deep := func(levels int) *jitney.Envelope {
		return envelope(&noted{Any: json.RawMessage(nested(levels))})
	}
	m, err := wire.Encode(deep(62), wire.Limits{})
	require.NoError(t, err)
	_, err = types().Decode(m)
	require.NoError(t, err)
	_, err = wire.Encode(deep(64), wire.Limits{})
	require.ErrorIs(t, err, wire.ErrEncode)
	assert.Contains(t, err.Error(), "64 levels")
	_, err = wire.Encode(deep(64), wire.Limits{Depth: 65})
	require.NoError(t, err)
}

func TestOfANameTwiceTheLastOneCounts(t *testing.T) {
	m, err := wire.Encode(envelope(&noted{}), wire.Limits{})
	require.NoError(t, err)
	m.Data = []byte(`{"Text":"first","Text":"second","text":"third"}`)
	env, err := types().Decode(m)
	require.NoError(t, err)
	assert.Equal(t, &noted{Text: "third"}, env.Event)
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob(filepath.Join("testdata", "golden", "*.json"))
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(text)
	}
	f.Add([]byte(`{"specversion":"1.0","type":"t","source":"/s","id":"1","data_base64":"AAE=","x":true}`))
	ts := types()
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := wire.Parse(text, wire.Limits{})
		if err != nil {
			return
		}
		written, err := m.MarshalJSON()
		if err != nil {
			t.Fatalf("parsed and not written: %v", err)
		}
		again, err := wire.Parse(written, wire.Limits{})
		if err != nil {
			t.Fatalf("written and not parsed: %v\n%s", err, written)
		}
		assert.Equal(t, m.Attributes, again.Attributes)
		env, err := ts.Decode(m)
		if err != nil {
			return
		}
		back, err := wire.Encode(env, wire.Limits{})
		if err != nil {
			t.Fatalf("decoded and not encoded: %v", err)
		}
		third, err := ts.Decode(back)
		if err != nil {
			t.Fatalf("encoded and not decoded: %v", err)
		}
		assert.True(t, env.Time.Equal(third.Time))
		env.Time, third.Time = time.Time{}, time.Time{}
		assert.Equal(t, env, third)
	})
}

// Decode takes a payload of another program's, and says of it that it is too deep if, and only if, it is.
func FuzzDecode(f *testing.F) {
	for _, data := range []string{
		`{"Text":"a","Any":[1,{"b":null}]}`, `{"Text":"first","Text":"second"}`, `{"Any":` + nested(62) + `}`, `{"Any":` + nested(64) + `}`,
		nested(1000), `{"Text":"\\\"` + strings.Repeat("[{", 80) + `"}`, strings.Repeat("[", 65), strings.Repeat(`{"`, 65),
	} {
		f.Add([]byte(data))
	}
	ts := types()
	m, err := wire.Encode(envelope(&noted{}), wire.Limits{})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, data []byte) {
		m := m
		m.Data = data
		_, err := ts.Decode(m)
		levels, valid := levels(data)
		valid = valid && len(data) <= 1<<20
		switch refused := errors.Is(err, wire.ErrMalformed); {
		case !valid && err == nil:
			t.Fatal("no JSON, and decoded")
		case valid && refused != (levels > 64):
			t.Fatalf("%d levels: %v", levels, err)
		}
	})
}

// levels returns how deep a JSON text is, and whether it is one.
func levels(text []byte) (deepest int, valid bool) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	for depth := 0; ; {
		token, err := d.Token()
		if err != nil {
			return deepest, json.Valid(text)
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
			deepest = max(deepest, depth)
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
}

func FuzzHeader(f *testing.F) {
	f.Add("Euro € 😀")
	f.Add(`"%25"`)
	f.Fuzz(func(t *testing.T, value string) {
		_, _ = wire.DecodeHeader(value)
		encoded := wire.EncodeHeader(value)
		if strings.ContainsAny(encoded, " \"\r\n\x00") {
			t.Fatalf("%q", encoded)
		}
		back, err := wire.DecodeHeader(encoded)
		if bad := strings.ToValidUTF8(value, "") != value; bad != (err != nil) || !bad && back != value {
			t.Fatalf("%q came back as %q, %v", value, back, err)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	env := envelope(placed{Order: "o-1", Cents: 4200})
	b.ReportAllocs()
	for b.Loop() {
		_, _ = wire.Encode(env, wire.Limits{})
	}
}

func BenchmarkDecode(b *testing.B) {
	for name, lines := range map[string]int{"small": 1, "of 200 lines": 200} {
		b.Run(name, func(b *testing.B) {
			event := placed{Order: "o-1", Cents: 4200, Lines: slices.Repeat([]line{{"white hanging heart"}}, lines)}
			m, err := wire.Encode(envelope(event), wire.Limits{})
			require.NoError(b, err)
			ts := types()
			b.ReportAllocs()
			for b.Loop() {
				_, _ = ts.Decode(m)
			}
		})
	}
}
