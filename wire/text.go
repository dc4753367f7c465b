package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"unicode/utf8"
)

// badText names the first string in e that is not UTF-8, or returns "". encoding/json writes U+FFFD for what it
// cannot write, as an escape; what is U+FFFD in e it writes as it is. So e is looked at only if data has the escape.
func badText(data []byte, e any) string {
	if !bytes.Contains(data, []byte(`\ufffd`)) {
		return ""
	}
	return badIn(reflect.ValueOf(e), "", 64)
}

// badIn looks into v, which is at path, for a string that is not UTF-8.
func badIn(v reflect.Value, path string, depth int) string {
	if depth == 0 {
		return ""
	}
	each := func(n int, at func(int) (reflect.Value, string)) string {
		for i := range n {
			inner, name := at(i)
			if bad := badIn(inner, path+name, depth-1); bad != "" {
				return bad
			}
		}
		return ""
	}
	switch v.Kind() {
	case reflect.String:
		if !utf8.ValidString(v.String()) {
			return "a string" + of(path)
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			return badIn(v.Elem(), path, depth-1)
		}
	case reflect.Struct:
		return each(v.NumField(), func(i int) (reflect.Value, string) { return v.Field(i), "." + v.Type().Field(i).Name })
	case reflect.Slice, reflect.Array:
		return each(v.Len(), func(i int) (reflect.Value, string) { return v.Index(i), fmt.Sprintf("[%d]", i) })
	case reflect.Map:
		keys := v.MapKeys()
		return each(2*len(keys), func(i int) (reflect.Value, string) {
			if i%2 == 0 {
				return keys[i/2], "'s keys"
			}
			return v.MapIndex(keys[i/2]), "'s values"
		})
	}
	return ""
}

func of(path string) string {
	if path == "" {
		return ""
	}
	return ", its " + path[1:]
}

// discreet is the text of an error of encoding/json that shows no value of the payload. Those that other code has
// made may show anything, and are named by their Go type.
func discreet(err error) string {
	var (
		syntax   *json.SyntaxError
		typ      *json.UnmarshalTypeError
		unknown  *json.UnsupportedTypeError
		value    *json.UnsupportedValueError
		somebody *json.MarshalerError
	)
	switch {
	case errors.As(err, &somebody):
		return fmt.Sprintf("%s fails with a %T", somebody.Type, somebody.Err)
	case errors.As(err, &typ):
		return fmt.Sprintf("a JSON %s where field %q has Go type %s", kind(typ.Value), typ.Field, typ.Type)
	case errors.As(err, &syntax):
		return fmt.Sprintf("no JSON at byte %d", syntax.Offset)
	case errors.As(err, &unknown), errors.As(err, &value):
		return err.Error() // names a type, NaN or Inf
	}
	return fmt.Sprintf("a %T", err)
}

// ofUpcaster is an error of an upcaster. Its text is the application's own, but if encoding/json has made it.
func ofUpcaster(err error) error {
	var (
		syntax *json.SyntaxError
		typ    *json.UnmarshalTypeError
		other  *json.MarshalerError
	)
	if errors.As(err, &syntax) || errors.As(err, &typ) || errors.As(err, &other) {
		return errors.New(discreet(err))
	}
	return err
}

// kind is the first word of what an UnmarshalTypeError says of a value: "number 1e400" shows the number.
func kind(value string) string {
	word, _, _ := bytes.Cut([]byte(value), []byte(" "))
	return string(word)
}
