package dbtest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/wire"
)

// oddities are payloads that a database may take for text, and refuse or change then: jsonb does so with the first ones.
var oddities = [...]string{
	`{"a":"\u0000"}`, `{"a":"\ud800"}`, `{"a":"\udc00\ud800"}`, `{"\u0000":1}`,
	"{\"a\":\"\x00\"}", "{\"a\":\"\xed\xa0\x80\"}", "{\"a\":\"\xc0\x80\"}", "\xff\xfe", "\x00", `{"a":1,"a":2} `, `\`, "😀\ufffe",
}

// An event comes back as it was, byte for byte, however odd its payload, its key and its correlation are: from the log,
// and as a dead letter. What cannot is refused.
func odd(t *testing.T, d *Database) {
	ctx := t.Context()
	j := open(t, d)
	var want []*jitney.Envelope
	for i, data := range oddities {
		env := sealed(jitney.RawEvent{Type: "dbtest.odd", Version: 1, ContentType: "application/json", Data: []byte(data)})
		env.Key, env.Correlation = "nul \x00 nonchar \ufffe", "del \x7f nul \x00"
		env.Headers = map[string]string{"face": "😀"}
		if i%2 == 0 {
			must(t, j.Append(ctx, env))
		} else {
			must(t, j.Tx(ctx, func(ctx context.Context, _ *sql.Tx) error { return j.Append(ctx, env) }))
			_, err := j.End(ctx) // it is moved by then
			must(t, err)
		}
		must(t, j.DeadLetters().Add(ctx, jitney.DeadLetter{
			ID: env.ID, Envelope: env, Subscriber: "s", Reason: jitney.ReasonExhausted, History: []jitney.Attempt{{Number: 1, Error: data}},
		}))
		want = append(want, env)
	}
	nul := sealed(Counted{"a\x00b", 1})
	must(t, j.Append(ctx, nul))
	if err := j.Append(ctx, sealed(Counted{"\xed\xa0\x80", 1})); !errors.Is(err, wire.ErrEncode) {
		t.Errorf("Append of a string that is not UTF-8: %v", err)
	}

	c, err := j.Open(ctx, jitney.Durable{Name: "odd", From: jitney.FromBeginning(), Window: 100})
	must(t, err)
	entries := drawn(t, c, len(want)+1)
	must(t, c.Close(ctx))
	for i, env := range append(want, nul) {
		must(t, entries[i].Err)
		same(t, entries[i].Envelope, env)
	}
	for _, env := range want {
		l, err := j.DeadLetters().Get(ctx, env.ID)
		must(t, err)
		same(t, l.Envelope, env)
	}
}

func same(t *testing.T, got, want *jitney.Envelope) {
	t.Helper()
	g, raw := got.Event.(jitney.RawEvent)
	if w, _ := want.Event.(jitney.RawEvent); !bytes.Equal(g.Data, w.Data) || !raw && got.Event != want.Event {
		t.Errorf("%q came back as %q", want.Event, got.Event)
	}
	if got.ID != want.ID || got.Key != want.Key || got.Correlation != want.Correlation ||
		fmt.Sprint(got.Headers) != fmt.Sprint(want.Headers) {
		t.Errorf("%+v came back as %+v", want, got)
	}
}
