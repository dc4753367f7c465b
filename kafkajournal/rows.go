package kafkajournal

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/internal/place"
)

// What the table of places has of a subscriber, by key, whose last part is its name.
const (
	births = "birth/" // where it began; the first one counts
	helds  = "held/"  // what holds it back
	marks  = "mark/"  // of a partition: who is at it, and how far it is
	notes  = "note/"  // of a partition and an offset: why that is put aside
)

// birth is the place of a subscriber that is new.
type birth struct {
	Offsets     vector `json:"offsets"` // the first of each partition that is for it
	SideEffects bool   `json:"side_effects,omitempty"`
}

// mark is what is known of a partition's place beside what its group has committed.
type mark struct {
	Open    bool   `json:"open"`              // a process has it, or died with it
	Floor   int64  `json:"floor"`             // what was committed then
	Ahead   []byte `json:"ahead,omitempty"`   // settled above Floor, if that is too long to be committed
	Suspect int64  `json:"suspect,omitempty"` // what was in flight alone
	Deaths  int    `json:"deaths,omitempty"`  // and at how many deaths
}

func markKey(name string, partition int32) string {
	return fmt.Sprintf("%s%d/%s", marks, partition, name)
}

func noteKey(name string, partition int32, offset int64) string {
	return fmt.Sprintf("%s%d/%d/%s", notes, partition, offset, name)
}

// row writes a value. What is written has no value that JSON cannot have.
func row(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// load reads a row into v, and reports whether it is there.
func (t *table) load(key string, v any) (bool, error) {
	b := t.get(key)
	if b == nil {
		return false, nil
	}
	if err := json.Unmarshal(b, v); err != nil {
		return false, fmt.Errorf("%s: row %s is damaged", t.topic, key)
	}
	return true, nil
}

// asides are the offsets of a partition that are put aside for a subscriber, in order.
func (t *table) asides(name string, partition int32) (offsets []int64) {
	prefix := fmt.Sprintf("%s%d/", notes, partition)
	for _, key := range t.with(prefix) {
		number, of, _ := strings.Cut(key[len(prefix):], "/")
		if offset, err := strconv.ParseInt(number, 10, 64); err == nil && of == name {
			offsets = append(offsets, offset)
		}
	}
	slices.Sort(offsets)
	return offsets
}

// note returns why an offset is put aside. If that is damaged the delivery begins anew.
func (c *cursor) note(partition int32, offset int64) *place.Note {
	n := &place.Note{Reason: place.Late}
	if _, err := c.j.places.load(noteKey(c.name, partition, offset), n); err != nil {
		c.j.log.Error("kafkajournal: how far a delivery had come cannot be read, it begins anew",
			slog.String("subscriber", c.name), slog.Int64("position", position(partition, offset+1)))
	}
	return n
}

// held returns what holds a subscriber back.
func (t *table) held(name string) (h jitney.Held, err error) {
	_, err = t.load(helds+name, &h)
	return h, err
}
