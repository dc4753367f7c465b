package bridge

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jitney-go/jitney"
)

// Via is the header that tells which places an event has left, by bridges, in their order: names with a space between.
// The place where it is at the moment is not among them.
const Via = "via"

var (
	errLoop   = errors.New("it has been there before")
	errTooFar = errors.New("it has left too many places")
)

// route is one direction of a bridge.
type route struct {
	from, to string
	most     int // places that an event may have left
}

// stamp returns what goes to the other side in env's place: a copy that has left from as well, with e as its event. An
// event that was at the other side before is errLoop.
//
// What is stamped follows from what env is, so that a repeat is the same envelope, and a journal stores it once.
func (r route) stamp(env *jitney.Envelope, e jitney.Event) (*jitney.Envelope, error) {
	left := strings.Fields(env.Headers[Via])
	if slices.Contains(left, r.to) {
		return nil, errLoop
	}
	if len(left) > r.most {
		return nil, fmt.Errorf("%w: %d, at most %d", errTooFar, len(left), r.most)
	}
	stamped := *env
	stamped.Event = e
	stamped.Headers = maps.Clone(env.Headers)
	if stamped.Headers == nil {
		stamped.Headers = make(map[string]string, 1)
	}
	stamped.Headers[Via] = strings.Join(append(left, r.from), " ")
	return &stamped, nil
}
