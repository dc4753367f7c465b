package kafkajournal

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/wire"
)

// A record is an event as the CloudEvents binding for Kafka says, in binary mode: each attribute is a header, the
// payload is the value, and the event's key is the record's. Records in structured mode are read too.

const (
	attributePrefix = "ce_"
	contentType     = "content-type"
	structured      = "application/cloudevents"
)

// draft is an event that is to be stored.
type draft struct {
	env    *jitney.Envelope // for errors
	id     uuid.UUID
	sum    digest
	record *kgo.Record
}

// drafts encodes envelopes, or says which of them cannot be stored.
func (j *Journal) drafts(envs []*jitney.Envelope) ([]*draft, error) {
	list := make([]*draft, 0, len(envs))
	for _, env := range envs {
		m, err := wire.Encode(env, wire.Limits{})
		if err != nil {
			return nil, err
		}
		r := record(m, env)
		r.Topic = j.topic
		if n := size(r); n > j.maxMessage {
			return nil, fmt.Errorf("kafkajournal: %s: %w: a record of %d bytes, and the topic's %s is %d",
				env, wire.ErrPayloadTooLarge, n, maxMessage, j.maxMessage)
		}
		list = append(list, &draft{env, env.ID, sum(r), r})
	}
	return list, nil
}

// record is an event's.
func record(m wire.Message, env *jitney.Envelope) *kgo.Record {
	r := &kgo.Record{Value: m.Data, Timestamp: time.UnixMilli(max(env.Time.UnixMilli(), 0))}
	if env.Key != "" {
		r.Key = []byte(env.Key)
	}
	size := 0
	for _, value := range m.Attributes {
		size += len(value)
	}
	values := make([]byte, 0, size) // of all headers in one piece
	r.Headers = make([]kgo.RecordHeader, 0, len(m.Attributes))
	for name, value := range m.Attributes {
		values = append(values, value...)
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: header(name), Value: values[len(values)-len(value) : len(values) : len(values)]})
	}
	slices.SortFunc(r.Headers, func(a, b kgo.RecordHeader) int { return strings.Compare(a.Key, b.Key) })
	return r
}

// header is the name of the header that an attribute is in.
func header(attribute string) string {
	switch attribute { // those that every event has cost no string of their own
	case wire.DataContentType:
		return contentType
	case wire.SpecVersion:
		return attributePrefix + wire.SpecVersion
	case wire.ID:
		return attributePrefix + wire.ID
	case wire.Source:
		return attributePrefix + wire.Source
	case wire.Type:
		return attributePrefix + wire.Type
	case wire.Time:
		return attributePrefix + wire.Time
	}
	return attributePrefix + attribute
}

// size is how many bytes a batch has at most that has this record alone.
func size(r *kgo.Record) int {
	n := 96 + len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += 10 + len(h.Key) + len(h.Value)
	}
	return n
}

// message reads a record.
func message(r *kgo.Record) (m wire.Message, err error) {
	m.Attributes = make(map[string]string, len(r.Headers))
	for _, h := range r.Headers {
		name, is := strings.CutPrefix(h.Key, attributePrefix)
		if strings.EqualFold(h.Key, contentType) {
			name, is = wire.DataContentType, true
		}
		if !is {
			continue // another program's own
		}
		if _, twice := m.Attributes[name]; twice {
			return m, fmt.Errorf("%w: a header twice", wire.ErrMalformed)
		}
		m.Attributes[name] = string(h.Value)
	}
	if strings.HasPrefix(m.Attributes[wire.DataContentType], structured) {
		if m, err = wire.Parse(r.Value, wire.Limits{}); err != nil {
			return m, err
		}
	} else {
		m.Data = r.Value
	}
	if m.Attributes[wire.PartitionKey] == "" && len(r.Key) > 0 && utf8.Valid(r.Key) {
		m.Attributes[wire.PartitionKey] = string(r.Key)
	}
	return m, nil
}

// entry decodes a record.
func (j *Journal) entry(r *kgo.Record) jitney.Entry {
	e := jitney.Entry{Position: position(r.Partition, r.Offset+1)}
	m, err := message(r)
	if err == nil {
		e.Envelope, err = j.types.Decode(m)
	}
	if err != nil {
		e.Envelope = nil
		e.Err = fmt.Errorf("kafkajournal: partition %d, offset %d: %w", r.Partition, r.Offset, err)
	}
	return e
}

// aShare is how many records are worth a goroutine that decodes them.
const aShare = 32

// entries decodes records, many of them on all processors.
func (j *Journal) entries(records []*kgo.Record) []jitney.Entry {
	list := make([]jitney.Entry, len(records))
	share := max(aShare, len(records)/runtime.GOMAXPROCS(0)+1)
	var all sync.WaitGroup
	for first := 0; first < len(records); first += share {
		decode := func() {
			for i := first; i < min(first+share, len(records)); i++ {
				list[i] = j.entry(records[i])
			}
		}
		if first+share < len(records) {
			all.Go(decode)
		} else {
			decode()
		}
	}
	all.Wait()
	return list
}

// isFor reports whether a record may be for a subscriber to events of this name.
func isFor(typ string, r *kgo.Record) bool {
	if typ == "" {
		return true
	}
	for _, h := range r.Headers {
		if h.Key == attributePrefix+wire.Type {
			return string(h.Value) == typ
		}
	}
	m, err := message(r)
	return err != nil || m.Attributes[wire.Type] == typ
}

// digest tells contents apart, as long as this process lives.
type digest uint64

var seed = maphash.MakeSeed()

// sum is the digest of a record that record has made.
func sum(r *kgo.Record) digest {
	var h maphash.Hash
	h.SetSeed(seed)
	var length [binary.MaxVarintLen64]byte
	put := func(n int) { _, _ = h.Write(binary.AppendUvarint(length[:0], uint64(n))) }
	for _, header := range r.Headers {
		put(len(header.Key))
		_, _ = h.WriteString(header.Key)
		put(len(header.Value))
		_, _ = h.Write(header.Value)
	}
	_, _ = h.Write(r.Value)
	return digest(h.Sum64())
}

// lanes sends a key to the partition that Kafka's own clients send it to, and events without one all to the first.
func lanes() kgo.Partitioner {
	return kgo.BasicConsistentPartitioner(func(topic string) func(*kgo.Record, int) int {
		keyed := kgo.StickyKeyPartitioner(nil).ForTopic(topic)
		return func(r *kgo.Record, n int) int {
			if len(r.Key) == 0 {
				return 0
			}
			return keyed.Partition(r, n)
		}
	})
}
