// Package wire writes envelopes as bytes, and reads them again, years later or in another language: as
// CloudEvents 1.0, structured (one JSON object) or binary (attributes beside the payload, for protocols that have
// headers).
//
// What the specification has an attribute for is named as it names it: id, source, type, time, datacontenttype.
// The rest are extensions: correlationid, causationid, partitionkey (the event's key), traceparent and tracestate as
// in the documented extensions, eventversion (if it is not 1), hops (if there are any). Headers are extensions under
// their own names, which must be those that the specification allows: a to z and 0 to 9.
//
//	types := wire.NewTypes()
//	wire.Register[orders.Placed](types)
//	wire.Upcast(types, "orders.placed", 1, func(old json.RawMessage) (json.RawMessage, error) { … }) // 1 → 2
//
//	m, err := wire.Encode(env)     // attributes and payload
//	text, err := m.MarshalJSON()   // structured mode
//	m, err = wire.Parse(text, wire.Limits{})
//	env, err = types.Decode(m)     // the event has its Go type again, in its newest version
//
// What a program has no type for, or not in that version, is decoded as a [jitney.RawEvent], so that nothing is lost.
package wire
