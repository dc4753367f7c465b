package bridge

import (
	"fmt"
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/jitney-go/jitney"
)

// Ends are the two places that a bridge joins: a bus of this process, and an engine that other processes reach too.
// They are not changed once they have been given to Out or In.
type Ends struct {
	// Bus is the bus, and Here its name among all that meet at engines: by it an event is known that has been on the
	// bus before. Replicas of a program that are to hear each other have a name each.
	Bus  *jitney.Bus
	Here string
	// Engine is the engine, and There its name: its stream or topic, say. All programs call it by the same name.
	//
	// Both names are 1 to 200 bytes of printable UTF-8 without spaces, differ from those of all other buses and engines
	// that events get to from here, and stay the same when the program is started again.
	Engine jitney.Journal
	There  string
	// System is what kind of engine it is, in the words of OpenTelemetry's messaging.system: "nats", "kafka".
	// Default "jitney".
	System string
	// Address is where the engine is, "host" or "host:port", for server.address and server.port of spans and measurements.
	// Default "": they are left out.
	Address string
	// MaxPlaces is how many places an event may have left before it comes to this bridge; one that has left more is
	// a dead letter. Default 16.
	MaxPlaces int
	// Logger says what a bridge logs to. Default slog.Default().
	Logger *slog.Logger
	// TracerProvider and MeterProvider are where its spans and measurements go. Default: the global ones.
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider
}

func (e Ends) withDefaults() Ends {
	if e.System == "" {
		e.System = "jitney"
	}
	if e.MaxPlaces <= 0 {
		e.MaxPlaces = 16
	}
	if e.Logger == nil {
		e.Logger = slog.Default()
	}
	if e.TracerProvider == nil {
		e.TracerProvider = otel.GetTracerProvider()
	}
	if e.MeterProvider == nil {
		e.MeterProvider = otel.GetMeterProvider()
	}
	return e
}

// mustBeWired panics with what is wrong with e.
func (e Ends) mustBeWired(call, name string) {
	switch {
	case e.Bus == nil || e.Engine == nil:
		panic(fmt.Sprintf("bridge: %s %q: nil bus or engine", call, name))
	case !validName(e.Here) || !validName(e.There):
		panic(fmt.Sprintf("bridge: %s %q: the bus is called %.40q and the engine %.40q: a name is 1 to 200 bytes of printable UTF-8 without spaces",
			call, name, e.Here, e.There))
	case e.Here == e.There:
		panic(fmt.Sprintf("bridge: %s %q: bus and engine are both called %q", call, name, e.Here))
	}
}

func validName(name string) bool {
	return name != "" && len(name) <= 200 && utf8.ValidString(name) &&
		!strings.ContainsFunc(name, func(r rune) bool { return r == ' ' || !unicode.IsPrint(r) })
}
