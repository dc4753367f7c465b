package dbtest

import (
	"errors"
	"strings"
	"testing"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
)

// Weakness is what makes a database lose commits that it has acknowledged.
type Weakness struct {
	Name       string // what the refusal is to mention
	Begin, End func(t *testing.T)
}

// Executing returns a function that executes a statement.
func (d *Database) Executing(statement string) func(t *testing.T) {
	return func(t *testing.T) {
		t.Helper()
		must(t, d.Execute(t.Context(), statement))
	}
}

// NotDurable runs the test of a database that has a weakness, on a server of the test's own.
func NotDurable(t *testing.T, d *Database, weaknesses ...Weakness) {
	durable := func() {
		t.Helper()
		j, err := d.Open(types())
		must(t, err)
		must(t, j.Append(t.Context(), sealed(Counted{"durable", 0})))
		must(t, j.Close(t.Context()))
	}
	durable()
	for _, w := range weaknesses {
		t.Run(w.Name, func(t *testing.T) {
			w.Begin(t)
			j, err := d.Open(types())
			if !errors.Is(err, jitney.ErrNotDurable) || !strings.Contains(err.Error(), w.Name) {
				t.Errorf("Open returned %v, expected ErrNotDurable for %s", err, w.Name)
			}
			if err == nil {
				must(t, j.Close(t.Context()))
			}
			j, err = d.OpenWith(types(), sqljournal.AllowNotDurable())
			must(t, err)
			must(t, j.Append(t.Context(), sealed(Counted{w.Name, 0})))
			must(t, j.Close(t.Context()))
			w.End(t)
			durable()
		})
	}
}
