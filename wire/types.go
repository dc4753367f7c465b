package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/jitney-go/jitney"
)

// Upcaster makes the payload of a version of an event from that of the version before.
type Upcaster func(old json.RawMessage) (json.RawMessage, error)

// Types knows which Go type each event's name belongs to, and how its older versions become the newest. It is
// filled while a program is put together, and only read after; then any number of goroutines may use it.
type Types struct {
	limits  Limits
	byName  map[string]*known
	upcasts map[string]map[int]Upcaster
}

// known is an event type of this program.
type known struct {
	typ     reflect.Type
	version int
}

// NewTypes returns an empty registry with the default limits.
func NewTypes() *Types {
	return &Types{byName: make(map[string]*known), upcasts: make(map[string]map[int]Upcaster)}
}

// WithLimits sets the limits for what Decode reads, and returns ts.
func (ts *Types) WithLimits(l Limits) *Types {
	ts.limits = l
	return ts
}

// Register makes T the Go type of events of its name. T's EventType and EventVersion are called on a new value. It
// panics if the name belongs to another type, or if T is an interface or a RawEvent. To register a type again
// changes nothing.
func Register[T jitney.Event](ts *Types) {
	typ := reflect.TypeFor[T]()
	if typ.Kind() == reflect.Interface || typ == rawType {
		panic(fmt.Sprintf("wire: Register: %s is not the type of one event", typ))
	}
	e := newEvent(typ)
	event := e.get()
	k := &known{typ: typ, version: 1}
	if v, ok := event.(interface{ EventVersion() int }); ok {
		k.version = v.EventVersion()
	}
	name := event.EventType()
	switch other := ts.byName[name]; {
	case other != nil && other.typ != typ:
		panic(fmt.Sprintf("wire: Register: %q belongs to %s, not %s", name, other.typ, typ))
	case name == "" || k.version < 1:
		panic(fmt.Sprintf("wire: Register: %s has name %q and version %d", typ, name, k.version))
	}
	ts.byName[name] = k
}

var rawType = reflect.TypeFor[jitney.RawEvent]()

// Upcast says how version from of the named event becomes version from+1. It panics if that has been said before.
func Upcast(ts *Types, name string, from int, up Upcaster) {
	if up == nil || from < 1 || name == "" {
		panic(fmt.Sprintf("wire: Upcast %q from version %d: wrong call", name, from))
	}
	if ts.upcasts[name][from] != nil {
		panic(fmt.Sprintf("wire: Upcast %q from version %d: given twice", name, from))
	}
	if ts.upcasts[name] == nil {
		ts.upcasts[name] = make(map[int]Upcaster)
	}
	ts.upcasts[name][from] = up
}

// Names returns the names of the registered events, sorted.
func (ts *Types) Names() []string { return slices.Sorted(maps.Keys(ts.byName)) }

// Knows reports whether events of that name and version can be decoded into their Go type.
func (ts *Types) Knows(name string, version int) bool {
	k := ts.byName[name]
	if k == nil || version > k.version || version < 1 {
		return false
	}
	for v := version; v < k.version; v++ {
		if ts.upcasts[name][v] == nil {
			return false
		}
	}
	return true
}

// Check says all that is wrong with the upcasters together: one for a name that is not registered or for a version
// that is not an old one, and a gap between an upcaster and the newest version. Call it when all is registered.
func (ts *Types) Check() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(ts.upcasts)) {
		k := ts.byName[name]
		versions := slices.Sorted(maps.Keys(ts.upcasts[name]))
		if k == nil {
			errs = append(errs, fmt.Errorf("wire: upcasters for %q, which is not registered", name))
			continue
		}
		for v := versions[0]; v < k.version; v++ {
			if ts.upcasts[name][v] == nil {
				errs = append(errs, fmt.Errorf("wire: %s: no upcaster from version %d to %d", name, v, v+1))
			}
		}
		if last := versions[len(versions)-1]; last >= k.version {
			errs = append(errs, fmt.Errorf("wire: %s: an upcaster from version %d, and %s is version %d", name, last, k.typ, k.version))
		}
	}
	return errors.Join(errs...)
}

// ErrDecode says that a payload does not fit its event's Go type, or that an upcaster failed.
var ErrDecode = errors.New("event cannot be decoded")

// Decode makes the envelope of a message. The event has its Go type, in its newest version, and Version says so; a
// RawEvent if there is no such type, no way to its version, or the payload is not JSON. A payload that is to have a Go
// type may be Limits.Depth deep, or the error is ErrMalformed; it must be strict JSON only if Parse has read it. So of
// names that one object has twice, also in another case, encoding/json takes the last one: to find them would cost more
// than to decode. Other errors are ErrDecode, ErrMalformed, ErrHeadersTooLarge and ErrPayloadTooLarge.
func (ts *Types) Decode(m Message) (*jitney.Envelope, error) {
	env, err := m.envelope(ts.limits.orDefaults())
	if err != nil {
		return nil, fmt.Errorf("wire: decode: %w", err)
	}
	if err := fits(m.Data, ts.limits.orDefaults()); err != nil {
		return nil, fmt.Errorf("wire: decode %s: %w", env, err)
	}
	contentType := m.Attributes[DataContentType]
	if !isJSON(contentType) || !ts.Knows(env.Type, env.Version) {
		env.Event = jitney.RawEvent{Type: env.Type, Version: env.Version, ContentType: contentType, Data: m.Data}
		return env, nil
	}
	if err := shallow(m.Data, ts.limits.orDefaults().Depth); err != nil {
		return nil, fmt.Errorf("wire: decode %s: %w: %w", env, ErrMalformed, err)
	}
	k := ts.byName[env.Type]
	data := m.Data
	for v := env.Version; v < k.version; v++ {
		if data, err = upcast(ts.upcasts[env.Type][v], data); err != nil {
			return nil, fmt.Errorf("wire: decode %s: %w: upcaster from version %d: %w", env, ErrDecode, v, ofUpcaster(err))
		}
	}
	env.Version = k.version
	e := newEvent(k.typ)
	if err := e.decode(data); err != nil {
		return nil, fmt.Errorf("wire: decode %s: %w: %w", env, ErrDecode, err)
	}
	env.Event = e.get()
	return env, nil
}

func upcast(up Upcaster, data []byte) (next []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic with a %T", r)
		}
	}()
	return up(data)
}

// value is a new event, which can be decoded into.
type value struct {
	target  any // a pointer
	pointer bool
}

func newEvent(typ reflect.Type) value {
	if typ.Kind() == reflect.Pointer {
		return value{reflect.New(typ.Elem()).Interface(), true}
	}
	return value{reflect.New(typ).Interface(), false}
}

func (v value) get() jitney.Event {
	if v.pointer {
		return v.target.(jitney.Event)
	}
	return reflect.ValueOf(v.target).Elem().Interface().(jitney.Event)
}

func (v value) decode(data []byte) (err error) {
	defer func() {
		if r := recover(); r != nil { // an UnmarshalJSON of somebody's
			err = fmt.Errorf("panic with a %T", r)
		}
	}()
	if len(data) == 0 {
		return errors.New("no payload")
	}
	if err := json.Unmarshal(data, v.target); err != nil {
		return errors.New(discreet(err))
	}
	return nil
}
