package dbtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
	"github.com/jitney-go/jitney/wire"
)

// Preflight names what the journal has and the program does not.
func preflight(t *testing.T, d *Database) {
	j, err := d.Open(types())
	must(t, err)
	l := listen(j)
	jitney.Subscribe(l.bus, "renamed", func(context.Context, Counted) error { return nil })
	must(t, l.bus.Publish(t.Context(), Counted{"k", 1}))
	must(t, l.bus.Flush(t.Context()))
	p, err := j.Preflight(t.Context(), l.bus, sqljournal.Report)
	must(t, err)
	must(t, p.Err())
	if err := j.Forget(t.Context(), "renamed"); !errors.Is(err, jitney.ErrInUse) {
		t.Errorf("Forget of an open subscriber: %v", err)
	}
	must(t, l.bus.Shutdown(t.Context()))
	must(t, j.Close(t.Context()))

	j, err = d.Open(wire.NewTypes())
	must(t, err)
	l = listen(j)
	p, err = j.Preflight(t.Context(), l.bus, sqljournal.Report)
	must(t, err)
	_, refused := j.Preflight(t.Context(), l.bus, sqljournal.Refuse)
	if fmt.Sprint(refused) != "sqljournal: preflight: "+fmt.Sprint(p.Err()) {
		t.Errorf("refused: %v", refused)
	}
	text := fmt.Sprint(p.Err())
	for _, part := range []string{`subscriber "renamed"`, "events dbtest.counted of version 1"} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in %s", part, text)
		}
	}
	must(t, j.Forget(t.Context(), "renamed"))
	if p, err = j.Preflight(t.Context(), l.bus, sqljournal.Report); err != nil || len(p.Orphans) > 0 {
		t.Errorf("orphans after Forget: %v, %v", p.Orphans, err)
	}
	must(t, l.bus.Shutdown(t.Context()))
	must(t, j.Close(t.Context()))
}

// The schema can be made by hand, and again.
func schema(t *testing.T, d *Database) {
	for _, statement := range strings.Split(d.Schema, ";\n") {
		if strings.TrimSpace(statement) != "" {
			must(t, d.Execute(t.Context(), statement))
		}
	}
	j := open(t, d)
	l := listen(j)
	must(t, l.bus.Publish(t.Context(), Counted{"k", 1}))
	must(t, l.bus.Flush(t.Context()))
	if got := l.of("k"); len(got) != 1 {
		t.Errorf("heard %v", got)
	}
	must(t, l.bus.Shutdown(t.Context()))
}
