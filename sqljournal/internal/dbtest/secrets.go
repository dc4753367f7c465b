package dbtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
	"github.com/jitney-go/jitney/wire"
)

// Secrets runs the test of what is told of payloads, keys and headers, in errors and in logs: nothing.
func Secrets(t *testing.T, begin func(t *testing.T) *Database) {
	w := &witness{t: t, d: begin(t)}
	w.on(wire.Register[Secret], func(j *sqljournal.Journal, b *jitney.Bus) {
		w.refused(j, b)
		w.handled(j, b)
	})
	w.execute(`UPDATE {p}aside SET progress = '` + secret + `'`)
	w.on(wire.Register[Secret], func(_ *sqljournal.Journal, b *jitney.Bus) {
		again := make(chan struct{})
		jitney.Subscribe(b, "waits", func(_ context.Context, e Secret) error {
			if e.Not == "wait" {
				close(again)
			}
			return nil
		})
		<-again
	})
	w.misread()
	w.damaged()
	told := w.told.String()
	for _, line := range strings.Split(told, "\n") {
		for _, s := range [...]string{secret, fmt.Sprint(pin), "czNjcjN0"} {
			if strings.Contains(line, s) {
				t.Errorf("told: %s", line)
			}
		}
	}
	for _, part := range [...]string{
		"jitney: dead letter", "begins anew", "put aside", "idempotency key used", "another event has this ID", "headers are too large",
		"Text", "Pin", "checksum does not fit", "record is corrupt", "outbox not moved", "nobody has subscribed",
	} {
		if !strings.Contains(told, part) {
			t.Errorf("nothing was told of %q", part)
		}
	}
	t.Logf("%d errors and %d lines", w.errs, strings.Count(told, "\n"))
}

// refused asks for what cannot be stored.
func (w *witness) refused(j *sqljournal.Journal, b *jitney.Bus) {
	ctx := w.t.Context()
	must(w.t, b.Publish(ctx, secretly("be lonely")))
	env := sealed(secretly("conflict"))
	env.Key, env.Headers = secret, map[string]string{"token": secret}
	must(w.t, j.Append(ctx, env))
	but := func(what string, change func(*jitney.Envelope)) {
		w.t.Helper()
		other := sealed(secretly(what))
		other.Key, other.Headers = secret, map[string]string{"token": secret}
		change(other)
		w.error(what, j.Append(ctx, other))
		w.error(what, b.Forward(ctx, other))
	}
	but("a conflict", func(e *jitney.Envelope) { e.ID = env.ID })
	but("long headers", func(e *jitney.Envelope) { e.Headers["long"] = strings.Repeat(secret, 5000) })
	but("control", func(e *jitney.Envelope) { e.Headers["token"] = secret + "\x00" })
	but("header not UTF-8", func(e *jitney.Envelope) { e.Headers["token"] = secret + "\xff" })
	but("taken", func(e *jitney.Envelope) { e.Headers["data"] = secret })
	but("key not UTF-8", func(e *jitney.Envelope) { e.Key = secret + "\xff" })
	but("payload not UTF-8", func(e *jitney.Envelope) { e.Event = Secret{Many: map[string]string{secret: secret + "\xff"}} })
	but("large", func(e *jitney.Envelope) { e.Event = Secret{Text: strings.Repeat(secret, 1<<18)} })
	for _, e := range []unreadable{{secret, json.Number(secret), nil}, {secret, "1", math.NaN()}, {secret, "1", make(chan int)}, {Pin: json.RawMessage(secret)}} {
		w.error("unreadable", b.Publish(ctx, e))
	}
	twin := sealed(secretly("twin"))
	w.error("twins", j.Append(ctx, twin, twin))
	_, err := j.Replay(ctx, sqljournal.Replay{Subscriber: "nobody", Key: &env.Key})
	w.error("replay", err)
	run, cancel := context.WithCancel(ctx)
	cancel()
	w.error("cancelled", b.Publish(run, secretly("be late")))
}

// handled has events handled, and some of them not.
func (w *witness) handled(j *sqljournal.Journal, b *jitney.Bus) {
	ctx := w.t.Context()
	waits := make(chan struct{}, 100)
	jitney.Subscribe(b, "fails", func(_ context.Context, e Secret) error {
		switch e.Not {
		case "panic":
			panic(io.ErrUnexpectedEOF)
		case "skip":
			return jitney.Skip(nil)
		}
		return io.ErrUnexpectedEOF
	}, jitney.WithDeadLetters(j.DeadLetters()), jitney.WithRetry(jitney.Retry{Attempts: 2}), jitney.WithParking(100))
	jitney.Subscribe(b, "once", func(context.Context, Secret) error { return nil }, jitney.WithDeadLetters(j.DeadLetters()),
		jitney.WithIdempotency(j.Inbox()), jitney.WithIdempotencyKey(func(e jitney.Event) string { return secret }))
	jitney.Subscribe(b, "waits", func(_ context.Context, e Secret) error {
		if e.Not == "wait" {
			waits <- struct{}{}
			return jitney.RetryAfter(time.Hour, io.ErrUnexpectedEOF)
		}
		return nil
	}, jitney.WithWorkers(2), jitney.WithRetry(jitney.Retry{Attempts: 5}))
	for _, what := range []string{"fail", "panic", "skip", "fail", "wait"} {
		must(w.t, b.Publish(ctx, secretly(what)))
	}
	<-waits
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(5 * time.Millisecond) {
		n, err := j.DeadLetters().Count(ctx, jitney.DeadLetterFilter{})
		must(w.t, err)
		if n >= 5 { // of each subscriber some
			break
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%d dead letters", n)
		}
	}
	list, err := j.DeadLetters().List(ctx, jitney.DeadLetterFilter{})
	must(w.t, err)
	w.error("redelivery", b.Redeliver(ctx, list[0]))
	_, err = fmt.Fprintf(w, "%v %+v\n", list, list[0].Envelope)
	must(w.t, err)
}

// misread opens the journal with types that do not fit.
func (w *witness) misread() {
	for what, register := range map[string]func(*wire.Types){
		"number": wire.Register[secretNumber], "small": wire.Register[secretSmall], "time": wire.Register[secretTime],
		"bytes": wire.Register[secretBytes], "map": wire.Register[secretMap], "keys": wire.Register[secretKeys],
		"grumpy": wire.Register[secretGrumpy], "number 2": wire.Register[secretNumber2], "upcast": registerUpcast,
	} {
		w.on(register, func(j *sqljournal.Journal, b *jitney.Bus) {
			w.entries(j, what)
			list, err := j.DeadLetters().List(w.t.Context(), jitney.DeadLetterFilter{})
			must(w.t, err)
			for _, l := range list { // as whoever is on duty may print them
				w.error("letter, "+what, fmt.Errorf("%v %+v %s", l.Envelope, l.Envelope.Event, l.Reason))
			}
		})
	}
	w.on(func(*wire.Types) {}, func(j *sqljournal.Journal, b *jitney.Bus) {
		p, err := j.Preflight(w.t.Context(), b, sqljournal.Warn)
		must(w.t, err)
		w.error("preflight", p.Err())
		jitney.Subscribe(b, "unknown", func(context.Context, Secret) error { return nil }, jitney.WithStart(jitney.FromBeginning()))
		must(w.t, b.Flush(w.t.Context()))
	})
}

// entries reads the log, whose entries are errors.
func (w *witness) entries(j *sqljournal.Journal, what string) {
	w.t.Helper()
	ctx := w.t.Context()
	c, err := j.Open(ctx, jitney.Durable{Name: what, From: jitney.FromBeginning()})
	must(w.t, err)
	end, err := j.End(ctx)
	must(w.t, err)
	found := false
	for through := int64(0); through < end; {
		var entries []jitney.Entry
		entries, through, err = c.Next(ctx, 100)
		must(w.t, err)
		for _, e := range entries {
			if e.Err != nil {
				w.error(what, e.Err)
				found = true
			}
		}
	}
	if !found {
		w.t.Errorf("%s: all entries can be read", what)
	}
	must(w.t, c.Close(ctx))
}

// damaged reads what has been damaged.
func (w *witness) damaged() {
	ctx := w.t.Context()
	w.execute(`UPDATE {p}log SET attributes = '` + secret + `' WHERE pos = 1`)
	w.execute(`UPDATE {p}subscriber SET crc = crc + 1 WHERE name = 'fails'`)
	w.execute(`UPDATE {p}letter SET letter = '{"Envelope": {"` + secret + `": "` + secret + `"}}'`)
	key := secret
	w.on(wire.Register[Secret], func(j *sqljournal.Journal, b *jitney.Bus) {
		w.entries(j, "damaged")
		_, err := j.DeadLetters().List(ctx, jitney.DeadLetterFilter{})
		w.error("letters, damaged", err)
		c, err := j.Open(ctx, jitney.Durable{Name: "fails"})
		if err == nil {
			_, _, err = c.Next(ctx, 1)
		}
		w.error("a damaged place", err)
		jitney.Subscribe(b, "damaged", func(context.Context, Secret) error { return nil })
		must(w.t, b.Flush(ctx))
		_, err = j.Replay(ctx, sqljournal.Replay{Subscriber: "damaged", From: jitney.FromBeginning(), Key: &key})
		w.error("replay of what is damaged", err)
		_, err = j.Prune(ctx, sqljournal.Retention{MaxEvents: 3, Unsettled: true})
		must(w.t, err)
		must(w.t, j.Exec(ctx, w.statement(`INSERT INTO {p}outbox (batch, parts, id, type, version, at, attributes, data, crc) `+
			`SELECT 1, 1, id, type, 1, at, '`+secret+`', data, crc FROM {p}log WHERE pos = (SELECT MAX(pos) FROM {p}log)`)))
		_, err = j.End(ctx)
		w.error("a damaged outbox", err)
		for deadline := time.Now().Add(10 * time.Second); !w.has("outbox not moved") && time.Now().Before(deadline); {
			<-time.After(5 * time.Millisecond)
		}
		must(w.t, j.Exec(ctx, w.statement(`DELETE FROM {p}outbox`)))
	})
}
