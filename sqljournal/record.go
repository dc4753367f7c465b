package sqljournal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/wire"
)

// record is an event as a row of the log has it.
type record struct {
	pos        int64 // 0 until it is committed
	id         uuid.UUID
	typ        string
	version    int    // of the type; known until it is stored
	at         int64  // Unix ns
	attributes string // JSON: those of the CloudEvent but for id, type and specversion
	data       []byte
	crc        uint32

	decoding sync.Once
	env      *jitney.Envelope
	err      error
}

// newRecord encodes an envelope.
func newRecord(env *jitney.Envelope) (*record, error) {
	m, err := wire.Encode(env, wire.Limits{})
	if err != nil {
		return nil, err
	}
	for _, name := range [...]string{wire.ID, wire.Type, wire.SpecVersion} {
		delete(m.Attributes, name)
	}
	attributes, err := writeAttributes(m.Attributes)
	if err != nil {
		return nil, err
	}
	r := &record{id: env.ID, typ: env.Type, version: env.Version, at: env.Time.UnixNano(), attributes: attributes, data: m.Data}
	r.crc = r.sum()
	return r, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sum is the checksum of parts, each behind its length.
func sum(parts ...[]byte) (crc uint32) {
	for _, part := range parts {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], uint64(len(part)))
		crc = crc32.Update(crc, castagnoli, n[:])
		crc = crc32.Update(crc, castagnoli, part)
	}
	return crc
}

// sum is the checksum of all that a row has but its position.
func (r *record) sum() uint32 {
	var at [8]byte
	binary.LittleEndian.PutUint64(at[:], uint64(r.at))
	return sum(r.id[:], []byte(r.typ), at[:], []byte(r.attributes), r.data)
}

// size is about how many bytes r takes.
func (r *record) size() int { return 100 + len(r.typ) + len(r.attributes) + len(r.data) }

// ErrCorrupt says that a row is not what was written. It is never delivered, nor removed.
var ErrCorrupt = errors.New("record is corrupt")

// entry is what a cursor returns of r. It is decoded once for all cursors.
func (r *record) entry(types *wire.Types) jitney.Entry {
	r.decoding.Do(func() {
		if r.crc != r.sum() {
			r.err = fmt.Errorf("sqljournal: position %d: %w: its checksum does not fit", r.pos, ErrCorrupt)
			return
		}
		r.env, r.err = r.decode(types)
	})
	return jitney.Entry{Position: r.pos, Envelope: r.env, Err: r.err}
}

func (r *record) decode(types *wire.Types) (*jitney.Envelope, error) {
	attributes, ok := readAttributes(r.attributes, 3)
	if !ok {
		return nil, fmt.Errorf("sqljournal: position %d: %w: its attributes are no JSON object", r.pos, ErrCorrupt)
	}
	attributes[wire.ID], attributes[wire.Type], attributes[wire.SpecVersion] = r.id.String(), r.typ, "1.0"
	env, err := types.Decode(wire.Message{Attributes: attributes, Data: r.data})
	if err != nil {
		return nil, fmt.Errorf("sqljournal: position %d: %w", r.pos, err)
	}
	return env, nil
}
