package dbtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/jitneytest"
	"github.com/jitney-go/jitney/sqljournal"
	"github.com/jitney-go/jitney/wire"
)

// What must be told nowhere: a text, and a number that does not fit where it is to be read into.
const (
	secret = "s3cr3t"
	pin    = 271828
)

// Secret is an event that has nothing but secrets.
type Secret struct {
	Text string
	Pin  float64
	Many map[string]string
	Not  string // what its handler does
}

// EventType implements jitney.Event.
func (Secret) EventType() string { return "dbtest.secret" }

// EventKey is a secret too.
func (e Secret) EventKey() string { return e.Text }

func secretly(does string) Secret {
	return Secret{secret + " " + does, pin, map[string]string{secret: secret}, does}
}

// What a program may take a Secret for that does not know better.
type (
	secretNumber  struct{ Text int }
	secretSmall   struct{ Pin int8 }
	secretTime    struct{ Text time.Time }
	secretBytes   struct{ Text []byte }
	secretMap     struct{ Many map[string]int }
	secretKeys    struct{ Many map[int]string }
	secretGrumpy  struct{ Text grumpy }
	secretUpcast  struct{ Text string }
	secretNumber2 struct{ Text json.Number }
)

func (secretNumber) EventType() string  { return "dbtest.secret" }
func (secretSmall) EventType() string   { return "dbtest.secret" }
func (secretTime) EventType() string    { return "dbtest.secret" }
func (secretBytes) EventType() string   { return "dbtest.secret" }
func (secretMap) EventType() string     { return "dbtest.secret" }
func (secretKeys) EventType() string    { return "dbtest.secret" }
func (secretGrumpy) EventType() string  { return "dbtest.secret" }
func (secretUpcast) EventType() string  { return "dbtest.secret" }
func (secretUpcast) EventVersion() int  { return 2 }
func (secretNumber2) EventType() string { return "dbtest.secret" }

// grumpy tells what it cannot read.
type grumpy struct{}

func (*grumpy) UnmarshalText(text []byte) error { return fmt.Errorf("cannot read %s", text) }

// unreadable is an event that cannot be encoded.
type unreadable struct {
	Text   string
	Number json.Number
	Pin    any
}

func (unreadable) EventType() string { return "dbtest.unreadable" }

func registerUpcast(ts *wire.Types) {
	wire.Register[secretUpcast](ts)
	wire.Upcast(ts, "dbtest.secret", 1, func(old json.RawMessage) (json.RawMessage, error) {
		var e secretSmall
		err := json.Unmarshal(old, &e)
		return nil, fmt.Errorf("upcast: %w", err)
	})
}

// witness writes down all that is told.
type witness struct {
	t    *testing.T
	d    *Database
	mu   sync.Mutex
	told bytes.Buffer
	errs int
}

// Write implements io.Writer, for a log.
func (w *witness) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.told.Write(p)
}

// error expects an error, and writes it down in all its forms.
func (w *witness) error(what string, err error) {
	w.t.Helper()
	if err == nil {
		w.t.Errorf("%s: no error", what)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.errs++
	fmt.Fprintf(&w.told, "%s: %v\n%+v\n", what, err, err)
}

func (w *witness) log() *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.Level(math.MinInt)}))
}

// on opens a journal and a bus of a program that takes Secret for what register says, calls f, and closes them.
func (w *witness) on(register func(*wire.Types), f func(j *sqljournal.Journal, b *jitney.Bus)) {
	w.t.Helper()
	ts := jitneytest.Types()
	register(ts)
	j, err := w.d.OpenWith(ts, sqljournal.WithLogger(w.log()))
	must(w.t, err)
	b := jitney.New(jitney.WithJournal(j), jitney.WithLogger(w.log()))
	f(j, b)
	must(w.t, b.Shutdown(w.t.Context()))
	must(w.t, j.Close(w.t.Context()))
}

// execute executes a statement while the journal is closed.
func (w *witness) execute(template string) {
	w.t.Helper()
	must(w.t, w.d.Execute(w.t.Context(), w.statement(template)))
}

func (w *witness) statement(template string) string {
	return strings.ReplaceAll(template, "{p}", w.d.Tables)
}

func (w *witness) has(text string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Contains(w.told.String(), text)
}
