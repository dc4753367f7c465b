// Package letter writes dead letters as JSON, and reads them again: what the stores of several engines have in common.
package letter

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/wire"
)

// ErrCorrupt says that what Write has written is not what Read is given.
var ErrCorrupt = errors.New("a dead letter is no JSON")

// letter is a dead letter as JSON; its envelopes are CloudEvents.
type letter struct {
	jitney.DeadLetter
	Envelope wire.Message
	Original *wire.Message `json:",omitempty"`
}

// Write encodes a letter.
func Write(l jitney.DeadLetter) ([]byte, error) {
	if l.Envelope == nil {
		return nil, fmt.Errorf("%w: it has none", jitney.ErrInvalidEnvelope)
	}
	w := letter{DeadLetter: l}
	var err error
	if w.Envelope, err = wire.Encode(l.Envelope, wire.Limits{}); err != nil {
		return nil, err
	}
	if l.Original != nil {
		m, err := wire.Encode(l.Original, wire.Limits{})
		if err != nil {
			return nil, err
		}
		w.Original = &m
	}
	return json.Marshal(w)
}

// Read decodes a letter. An event that types cannot decode, or no longer, is a [jitney.RawEvent]: whoever is on duty is
// to see it all the same.
func Read(text []byte, types *wire.Types) (l jitney.DeadLetter, err error) {
	var w struct {
		jitney.DeadLetter
		Envelope, Original json.RawMessage
	}
	if err := json.Unmarshal(text, &w); err != nil {
		return l, ErrCorrupt
	}
	l = w.DeadLetter
	if l.Envelope, err = envelope(w.Envelope, types); err != nil {
		return l, err
	}
	if w.Original != nil {
		l.Original, err = envelope(w.Original, types)
	}
	return l, err
}

func envelope(text []byte, types *wire.Types) (*jitney.Envelope, error) {
	m, err := wire.Parse(text, wire.Limits{})
	if err != nil {
		return nil, err
	}
	env, err := types.Decode(m)
	if err == nil {
		return env, nil
	}
	if raw, failed := noTypes.Decode(m); failed == nil {
		return raw, nil
	}
	return nil, err
}

// noTypes makes a RawEvent of everything.
var noTypes = wire.NewTypes()
