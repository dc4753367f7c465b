package jitney

import (
	"fmt"
	"unicode"
	"unicode/utf8"
)

// Limits on what is kept of a failure.
const (
	maxErrorText = 4 << 10
	maxStack     = 16 << 10
	maxUnwrap    = 64
)

// errorText returns err's text, cut to a sensible length. An Error method may panic, on a typed nil for
// instance; that is part of the text then.
func errorText(err error) (text string) {
	defer func() {
		if r := recover(); r != nil {
			text = fmt.Sprintf("%T whose Error method panicked", err)
		}
	}()
	if err == nil {
		return ""
	}
	return clip(err.Error(), maxErrorText)
}

// errorClass names the kind of err: the Go type of the first error in its tree that is more than a text or
// a wrapping of others, or else of the last one.
func errorClass(err error) (class string) {
	find(err, func(e error) bool {
		class = fmt.Sprintf("%T", e)
		switch class {
		case "*errors.errorString", "*errors.joinError", "*fmt.wrapError", "*fmt.wrapErrors", "*jitney.steer":
			return false
		}
		return true
	})
	return class
}

// clip cuts s to at most n bytes, at a rune's boundary.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	const mark = "…"
	n -= len(mark)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + mark
}

// find walks err's tree as errors.As does, depth first, until match says yes. It looks at no more than
// maxUnwrap errors, because a tree that leads back to itself would never end.
func find(err error, match func(error) bool) bool {
	left := maxUnwrap
	return findIn(err, match, &left)
}

func findIn(err error, match func(error) bool, left *int) bool {
	for ; err != nil && *left > 0; *left-- {
		if match(err) {
			return true
		}
		switch u := err.(type) {
		case interface{ Unwrap() error }:
			err = u.Unwrap()
		case interface{ Unwrap() []error }:
			*left--
			for _, e := range u.Unwrap() {
				if findIn(e, match, left) {
					return true
				}
			}
			return false
		default:
			return false
		}
	}
	return false
}

// is reports whether target is in err's tree.
func is(err, target error) bool {
	return find(err, func(e error) bool { return e == target })
}

// checkName says what is wrong with the name of an event type or of a subscriber.
func checkName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: empty", ErrInvalidName)
	case len(name) > maxName:
		return fmt.Errorf("%w: %q is %d bytes long, at most %d", ErrInvalidName, clip(name, 40), len(name), maxName)
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: %q is not UTF-8", ErrInvalidName, name)
	}
	for _, r := range name {
		if r == ' ' || !unicode.IsPrint(r) {
			return fmt.Errorf("%w: %q has %q in it", ErrInvalidName, name, r)
		}
	}
	return nil
}
