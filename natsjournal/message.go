package natsjournal

import (
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/wire"
)

// Names of headers, in the lower case that they are compared in.
const (
	prefix      = "ce-"
	contentType = "content-type"
)

// maxSubject is how long a subject may be: a server ends the connection of a client whose line is too long.
const maxSubject = 1024

// newMessage makes the message of an envelope: CloudEvents' binary mode, whose attributes are headers. The content type
// is in two of them, for the binding names one, and other programs look for the other.
func (j *Journal) newMessage(env *jitney.Envelope) (*nats.Msg, error) {
	if env == nil {
		return nil, fmt.Errorf("%w: it is nil", jitney.ErrInvalidEnvelope)
	}
	m, err := wire.Encode(env, wire.Limits{})
	if err != nil {
		return nil, err
	}
	msg := &nats.Msg{Subject: subject(j.name, env.Type), Data: m.Data, Header: make(nats.Header, len(m.Attributes)+3)}
	if len(msg.Subject) > maxSubject {
		return nil, fmt.Errorf("%w: its type has a name of %d bytes", jitney.ErrInvalidEnvelope, len(env.Type))
	}
	values := make([]string, 0, len(m.Attributes)+2) // of all headers together
	put := func(name, value string) {
		values = append(values, value)
		n := len(values)
		msg.Header[name] = values[n-1 : n : n]
	}
	for name, value := range m.Attributes {
		put(header(name), wire.EncodeHeader(value))
	}
	if value, has := m.Attributes[wire.DataContentType]; has {
		put(contentType, wire.EncodeHeader(value))
	}
	put(jetstream.MsgIDHeader, m.Attributes[wire.ID])
	if size, most := int64(msg.Size()-len(msg.Subject)), j.nc.MaxPayload(); size > most {
		return nil, fmt.Errorf("%w: %s: %d bytes with its headers, and the server takes %d (max_payload)", wire.ErrPayloadTooLarge, env, size, most)
	}
	return msg, nil
}

// header is the name of the header that an attribute is in.
func header(attribute string) string {
	switch attribute { // those that every event has cost no string of their own
	case wire.SpecVersion:
		return prefix + wire.SpecVersion
	case wire.ID:
		return prefix + wire.ID
	case wire.Source:
		return prefix + wire.Source
	case wire.Type:
		return prefix + wire.Type
	case wire.Time:
		return prefix + wire.Time
	case wire.DataContentType:
		return prefix + wire.DataContentType
	}
	return prefix + attribute
}

// readMessage reads a message of either mode, whoever has written it.
func readMessage(header nats.Header, data []byte) (wire.Message, error) {
	m := wire.Message{Attributes: make(map[string]string, len(header)), Data: data}
	binary, content := false, ""
	for name, values := range header {
		if name == jetstream.MsgIDHeader {
			continue
		}
		name = strings.ToLower(name)
		attribute, is := strings.CutPrefix(name, prefix)
		if len(values) == 0 || !is && name != contentType {
			continue
		}
		value, err := wire.DecodeHeader(values[0])
		if err != nil {
			return m, err
		}
		if is {
			m.Attributes[attribute], binary = value, true
		} else {
			content = value
		}
	}
	if structured := strings.HasPrefix(strings.ToLower(content), "application/cloudevents"); structured || !binary {
		return wire.Parse(data, wire.Limits{})
	}
	if m.Attributes[wire.DataContentType] == "" && content != "" {
		m.Attributes[wire.DataContentType] = content
	}
	return m, nil
}

// entry is what a subscriber is given of a message.
func (j *Journal) entry(position uint64, header nats.Header, data []byte) jitney.Entry {
	e := jitney.Entry{Position: int64(position)}
	m, err := readMessage(header, data)
	if err == nil {
		e.Envelope, err = j.types.Decode(m)
	}
	if err != nil {
		e.Err = fmt.Errorf("natsjournal: position %d: %w", position, err)
	}
	return e
}
