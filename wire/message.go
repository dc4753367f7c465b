package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
)

// Message is an event between an envelope and its bytes: CloudEvents' binary mode, where a protocol carries the
// attributes as its headers.
type Message struct {
	// Attributes have names without a protocol's prefix, and values as CloudEvents' canonical strings.
	// Required are specversion, id, source and type.
	Attributes map[string]string
	// Data is the payload, of the kind that attribute datacontenttype names; without one, JSON. nil is no payload.
	Data []byte
}

// Names of attributes. The first lines are the specification's, then come documented extensions, then our own.
const (
	SpecVersion     = "specversion"
	ID              = "id"
	Source          = "source"
	Type            = "type"
	Time            = "time"
	DataContentType = "datacontenttype"

	PartitionKey = "partitionkey"
	TraceParent  = "traceparent"
	TraceState   = "tracestate"
	Correlation  = "correlationid"
	Causation    = "causationid"

	EventVersion = "eventversion"
	Hops         = "hops"
	// OriginalID is the id of a foreign event whose id is no UUID.
	OriginalID = "originalid"
)

const (
	specVersion = "1.0"
	jsonType    = "application/json"
	// noSource stands for an envelope without a source, which the specification requires.
	noSource = "/"
)

// attribute names that Envelope has a field for, so that no header may have them; and those of structured mode.
var taken = map[string]bool{
	SpecVersion: true, ID: true, Source: true, Type: true, Time: true, DataContentType: true, PartitionKey: true,
	Correlation: true, Causation: true, EventVersion: true, Hops: true, "data": true, "data_base64": true,
}

// Limits say how large what comes in, or goes out, may be. A zero field stands for its default.
type Limits struct {
	Data    int // bytes of the payload; default 1 MiB
	Headers int // how many headers, or attributes that we do not know; default 64
	Header  int // bytes of them in all, names and values; default 8 KiB
	Depth   int // of nested arrays and objects in JSON; default 64
}

func (l Limits) orDefaults() Limits {
	def := func(n *int, otherwise int) {
		if *n <= 0 {
			*n = otherwise
		}
	}
	def(&l.Data, 1<<20)
	def(&l.Headers, 64)
	def(&l.Header, 8<<10)
	def(&l.Depth, 64)
	return l
}

// What Encode, Parse and Decode answer.
var (
	ErrEncode          = errors.New("event cannot be encoded")
	ErrPayloadTooLarge = errors.New("payload is too large")
	ErrHeadersTooLarge = errors.New("headers are too large")
	ErrInvalidHeader   = errors.New("invalid header")
	ErrMalformed       = errors.New("malformed CloudEvent")
)

// Encode makes the message of an envelope. Its event is encoded by encoding/json; what that would change silently,
// a string that is not UTF-8, is refused, and so is what is too deep for Decode. The errors are ErrEncode,
// ErrPayloadTooLarge, ErrHeadersTooLarge and ErrInvalidHeader, and say which type and field, not which value.
func Encode(env *jitney.Envelope, limits Limits) (Message, error) {
	m, err := encode(env, limits.orDefaults())
	if err != nil {
		return Message{}, fmt.Errorf("wire: encode %s: %w", env, err)
	}
	return m, nil
}

func encode(env *jitney.Envelope, limits Limits) (m Message, err error) {
	a := make(map[string]string, 8+len(env.Headers))
	if err := putHeaders(a, env.Headers, limits); err != nil {
		return m, err
	}
	parent, state := env.TraceParent()
	put(a, TraceParent, parent)
	put(a, TraceState, state)
	a[SpecVersion] = specVersion
	a[ID] = env.ID.String()
	a[Source] = env.Source
	if env.Source == "" {
		a[Source] = noSource
	}
	a[Type] = env.Type
	a[Time] = env.Time.UTC().Format(time.RFC3339Nano)
	a[DataContentType] = jsonType
	if env.Version != 1 {
		a[EventVersion] = strconv.Itoa(env.Version)
	}
	put(a, PartitionKey, env.Key)
	put(a, Correlation, env.Correlation)
	if env.CausationID != uuid.Nil {
		a[Causation] = env.CausationID.String()
	}
	if env.Hops > 0 {
		a[Hops] = strconv.Itoa(env.Hops)
	}
	for _, name := range [...]string{Source, PartitionKey, Correlation} {
		if !utf8.ValidString(a[name]) {
			return m, fmt.Errorf("%w: its %s is not UTF-8", ErrEncode, name)
		}
	}
	if raw, ok := env.Event.(jitney.RawEvent); ok {
		m.Data = raw.Data
		a[DataContentType] = raw.ContentType
		declare(a, m.Data)
	} else if m.Data, err = marshal(env.Event, limits.Depth); err != nil {
		return m, err
	}
	m.Attributes = a
	return m, fits(m.Data, limits)
}

func put(a map[string]string, name, value string) {
	if value != "" {
		a[name] = value
	}
}

// declare says that a payload of which nothing is said is JSON, if it is.
func declare(a map[string]string, data []byte) {
	if a[DataContentType] != "" {
		return
	}
	delete(a, DataContentType)
	if strict(data, Limits{}.orDefaults().Depth-1) == nil {
		a[DataContentType] = jsonType
	}
}

func fits(data []byte, limits Limits) error {
	if len(data) > limits.Data {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrPayloadTooLarge, len(data), limits.Data)
	}
	return nil
}

// putHeaders takes over headers as attributes.
func putHeaders(a, headers map[string]string, limits Limits) error {
	if err := bounded(headers, limits); err != nil {
		return err
	}
	for name, value := range headers {
		switch {
		case taken[name]:
			return fmt.Errorf("%w: %q is the name of an attribute of its own", ErrInvalidHeader, name)
		case !validName(name):
			return fmt.Errorf("%w: %q: a name may have a to z and 0 to 9", ErrInvalidHeader, clip(name))
		case !validText(value):
			return fmt.Errorf("%w: %s has a control character, or is not UTF-8", ErrInvalidHeader, name)
		}
		a[name] = value
	}
	return nil
}

func bounded(headers map[string]string, limits Limits) error {
	size := 0
	for name, value := range headers {
		size += len(name) + len(value)
	}
	if len(headers) > limits.Headers || size > limits.Header {
		return fmt.Errorf("%w: %d of %d bytes in all, at most %d of %d", ErrHeadersTooLarge, len(headers), size, limits.Headers, limits.Header)
	}
	return nil
}

// validName reports whether name is what CloudEvents allows for an attribute.
func validName(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// validText reports whether s has nothing in it that CloudEvents forbids in a string.
func validText(s string) bool {
	if plain(s) {
		return true
	}
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool {
		return r < ' ' || '\x7f' <= r && r <= '\x9f' || r&0xfffe == 0xfffe || 0xfdd0 <= r && r <= 0xfdef
	}) < 0
}

// plain reports whether s is printable ASCII, as nearly all attributes are.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

// isJSON reports whether a content type says that the data is JSON.
func isJSON(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	_, subtype, _ := strings.Cut(media, "/")
	return media == "" || subtype == "json" || strings.HasSuffix(subtype, "+json")
}

// space is the namespace of the UUIDs that foreign events get, who are identified by source and id.
var space = uuid.MustParse("0192f3a0-5b1e-7c6d-8a4f-6a69746e6579")

// envelope makes the envelope of a message, but for its event.
func (m Message) envelope(limits Limits) (env *jitney.Envelope, err error) {
	env = &jitney.Envelope{Version: 1}
	others := make(map[string]string)
	for name, value := range m.Attributes {
		if name != PartitionKey && name != Correlation && !validText(value) {
			return nil, fmt.Errorf("%w: attribute %q has a control character, or is not UTF-8", ErrMalformed, clip(name))
		}
		known, err := set(env, name, value)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%w: attribute %s: %w", ErrMalformed, name, err)
		case known:
		case !validName(name):
			return nil, fmt.Errorf("%w: %q is no name of an attribute", ErrMalformed, clip(name))
		default:
			others[name] = value
		}
	}
	if err := m.complete(); err != nil {
		return nil, err
	}
	identify(env, others, m.Attributes[Source], m.Attributes[ID])
	if err := bounded(others, limits); err != nil {
		return nil, err
	}
	if len(others) > 0 {
		env.Headers = others
	}
	return env, nil
}

// complete says which required attribute m does not have.
func (m Message) complete() error {
	for _, name := range [...]string{SpecVersion, ID, Source, Type} {
		if m.Attributes[name] == "" {
			return fmt.Errorf("%w: no %s", ErrMalformed, name)
		}
	}
	return nil
}

// identify gives env its ID: the message's if that is a UUID, else one that follows from source and id.
func identify(env *jitney.Envelope, others map[string]string, source, id string) {
	if u, err := uuid.Parse(id); err == nil && u != uuid.Nil && u.String() == id {
		env.ID = u
		return
	}
	env.ID = uuid.NewSHA1(space, []byte(source+"\x00"+id))
	others[OriginalID] = id
}

// set takes over an attribute that an envelope has a field for.
func set(env *jitney.Envelope, name, value string) (known bool, err error) {
	switch name {
	case SpecVersion:
		if value != specVersion {
			err = fmt.Errorf("%q, known is %s", clip(value), specVersion)
		}
	case Source:
		if value != noSource {
			env.Source = value
		}
	case Type:
		env.Type = value
	case Time:
		env.Time, err = time.Parse(time.RFC3339Nano, value)
		err = instead(err, "no time of RFC 3339")
	case PartitionKey:
		env.Key = value
	case Correlation:
		env.Correlation = value
	case Causation:
		env.CausationID, err = uuid.Parse(value)
		err = instead(err, "no UUID")
	case EventVersion:
		env.Version, err = count(value, 1)
	case Hops:
		env.Hops, err = count(value, 0)
	case ID, DataContentType:
	default:
		return false, nil
	}
	return true, err
}

func count(text string, least int) (int, error) {
	n, err := strconv.ParseInt(text, 10, 32)
	if err == nil && int(n) < least {
		return int(n), fmt.Errorf("%d, at least %d", n, least)
	}
	return int(n), instead(err, "no integer of 32 bits")
}

// instead is an error that says text where err shows the value.
func instead(err error, text string) error {
	if err == nil {
		return nil
	}
	return errors.New(text)
}

// marshal encodes an event, and refuses what encoding/json would change without a word.
func marshal(e jitney.Event, depth int) (data []byte, err error) {
	defer func() {
		if r := recover(); r != nil { // a MarshalJSON of somebody's
			err = fmt.Errorf("%w: %T: panic with a %T", ErrEncode, e, r)
		}
	}()
	data, err = json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("%w: %T: %s", ErrEncode, e, discreet(err))
	}
	if at := badText(data, e); at != "" {
		return nil, fmt.Errorf("%w: %T: %s is not UTF-8", ErrEncode, e, at)
	}
	if err := shallow(data, depth); err != nil { // Decode would refuse it
		return nil, fmt.Errorf("%w: %T: %w", ErrEncode, e, err)
	}
	return data, nil
}
