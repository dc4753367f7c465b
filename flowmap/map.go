package flowmap

import (
	"encoding/json"
)

// Map says which way events go. All its lists are sorted, and none is nil.
type Map struct {
	// Outside are those that publish or ask from outside of any handler, by the Source of their envelopes. Scheduled events
	// are published by nobody's handler either.
	Outside []Source `json:"outside"`
	// Subscribers are those that the bus has, and those that have been seen; answerers too, who hear questions.
	Subscribers []Subscriber `json:"subscribers"`
	// Unheard are the types that no subscriber hears.
	Unheard []string `json:"unheard"`
	// Cycles are ways on which events lead back to their type, types and subscribers in turns: for each set of types that
	// lead to each other a shortest one that begins and ends with the type that sorts first.
	Cycles [][]string `json:"cycles"`
}

// Source is a program, or a part of one, that publishes or asks.
type Source struct {
	Name      string   `json:"name"`
	Publishes []string `json:"publishes"`
}

// Subscriber is a subscriber with what it hears.
type Subscriber struct {
	Name string `json:"name"`
	// Takes is what it has subscribed to: a type, or the Go name of an interface; "" if it is not there any more.
	Takes string `json:"takes"`
	On    []On   `json:"on"`
}

// On is a type that a subscriber hears, and the types of what it has published or asked because of that.
type On struct {
	Type      string   `json:"type"`
	Publishes []string `json:"publishes"`
}

// JSON is the map as text that can be compared line by line, with a newline at its end.
func (m Map) JSON() []byte {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		panic("flowmap: " + err.Error()) // it is made of strings
	}
	return append(text, '\n')
}
