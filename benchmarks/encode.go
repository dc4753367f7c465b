package benchmarks

import "encoding/binary"

// encode and decode are the cheapest way we know to make an Order bytes and back, for the systems that carry
// bytes: their figures are to be theirs, not a codec's.
func encode(o *Order) []byte {
	b := make([]byte, 0, 48)
	for _, s := range []string{o.OrderID, o.CustomerID, o.Region} {
		b = append(append(b, byte(len(s))), s...)
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(o.Total))
	return binary.LittleEndian.AppendUint32(b, uint32(o.Items))
}

func decode(b []byte) (o Order) {
	text := string(b) // one piece for all three
	for _, s := range []*string{&o.OrderID, &o.CustomerID, &o.Region} {
		n := 1 + int(b[0])
		*s, text, b = text[1:n], text[n:], b[n:]
	}
	o.Total = int64(binary.LittleEndian.Uint64(b))
	o.Items = int32(binary.LittleEndian.Uint32(b[8:]))
	return o
}
