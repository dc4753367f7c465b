package jitney

// RawEvent is an event that this program has no Go type for, or not in this version: it came from a journal, or
// from another program. Subscriptions to [Event] get it as it is; those to Go types do not see it.
type RawEvent struct {
	// Type and Version are what EventType and EventVersion return.
	Type    string
	Version int
	// ContentType says what Data is, as a media type; "" if that is not known.
	ContentType string
	// Data is the payload as it came. Nobody may change it.
	Data []byte
}

// EventType implements [Event].
func (e RawEvent) EventType() string { return e.Type }

// EventVersion returns Version.
func (e RawEvent) EventVersion() int { return e.Version }

// GoString names the event without its payload, which must not get into logs by %#v.
func (e RawEvent) GoString() string { return "jitney.RawEvent(" + e.Type + ")" }

// String is GoString.
func (e RawEvent) String() string { return e.GoString() }
