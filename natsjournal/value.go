package natsjournal

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/internal/place"
)

// A subscriber has a key with its place, and one for each event that is put aside.

func placeKey(subscriber string) string { return escape(subscriber, false) + ".place" }

func asideKey(subscriber string, position int64) string {
	return escape(subscriber, false) + ".aside." + strconv.FormatInt(position, 10)
}

// parseKey reads what the two have written; position is 0 for a place.
func parseKey(key string) (subscriber string, position int64, err error) {
	name, rest, _ := strings.Cut(key, ".")
	if text, is := strings.CutPrefix(rest, "aside."); is {
		position, err = strconv.ParseInt(text, 10, 64)
	} else if rest != "place" {
		err = strconv.ErrSyntax
	}
	if err != nil {
		return "", 0, fmt.Errorf("%w: a key of another kind", ErrCorrupt)
	}
	return unescape(name), position, nil
}

// format is the version of what is stored beside the events.
const format = 1

// value is what is stored of a subscriber's place.
type value struct {
	Format int `json:"format"`
	// Floor is the position up to which all is settled, put aside, or not for it; Ahead is what is settled above.
	Floor int64  `json:"floor"`
	Ahead []byte `json:"ahead,omitempty"`
	// Owner is whose the place is: a token of its own each time that it changes hands; "" if nobody has it.
	Owner string `json:"owner,omitempty"`
	// Clean says that the last owner has closed it; Suspect and Deaths are what was in flight at so many deaths in a row.
	Clean   bool  `json:"clean,omitempty"`
	Suspect int64 `json:"suspect,omitempty"`
	Deaths  int   `json:"deaths,omitempty"`

	Held *jitney.Held `json:"held,omitempty"`
	// Notes are the revisions up to which the notes of an owner hold. What one writes who has lost the place without
	// knowing it is above.
	Notes map[string]uint64 `json:"notes,omitempty"`
	// Gone are positions that are not aside any more, whose keys may be still there.
	Gone []int64 `json:"gone,omitempty"`
}

// note is what is stored of an event that is put aside.
type note struct {
	place.Note
	By string `json:"by"` // the owner who has written it
}

// holds reports whether a note at a revision is part of the place.
func (v *value) holds(position int64, n note, revision uint64) bool {
	return revision <= v.Notes[n.By] && !slices.Contains(v.Gone, position)
}

func parseValue(subscriber string, text []byte) (v value, err error) {
	if err := json.Unmarshal(text, &v); err != nil {
		return v, fmt.Errorf("%w: the place of %s is no JSON", ErrCorrupt, subscriber)
	}
	if v.Format > format {
		return v, fmt.Errorf("the place of %s is of format %d, and this program knows %d", subscriber, v.Format, format)
	}
	return v, nil
}
