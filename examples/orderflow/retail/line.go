package retail

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"io"
)

// maxLine is the longest physical line read, in bytes with its line end.
const maxLine = 1 << 20

// errLong is a line over maxLine; reading goes on after it.
var errLong = errors.New("longer than 1 MiB")

// lineReader cuts plain or gzipped input into physical lines.
type lineReader struct {
	in     *bufio.Reader
	number int   // of the line last returned by next
	err    error // why there is no further line
}

func newLineReader(r io.Reader) (*lineReader, error) {
	in := bufio.NewReaderSize(r, maxLine)
	// A short input gives a short magic; its error comes back when reading.
	magic, _ := in.Peek(2)
	if string(magic) != "\x1f\x8b" {
		return &lineReader{in: in}, nil
	}
	unzipped, err := gzip.NewReader(in)
	if err != nil {
		return nil, err
	}
	return &lineReader{in: bufio.NewReaderSize(unzipped, maxLine)}, nil
}

// next returns the next line without its line end, valid until the next call.
// With errLong it returns the beginning of the line. With any other error
// there is no line, and there will be none: the rest of a line that the input
// breaks off in is dropped.
func (l *lineReader) next() ([]byte, error) {
	if l.err != nil {
		return nil, l.err
	}
	line, err := l.in.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		l.number++
		line = bytes.Clone(line[:2*excerptLen])
		l.err = l.skip()
		return line, errLong
	}
	l.err = err
	if err != nil && (err != io.EOF || len(line) == 0) {
		return nil, err
	}
	l.number++
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")), nil
}

// skip drops the rest of a long line.
func (l *lineReader) skip() error {
	for {
		if _, err := l.in.ReadSlice('\n'); err != bufio.ErrBufferFull {
			return err
		}
	}
}

// damage reports whether err tells of an input that was cut short or
// corrupted, rather than of a failure to read it.
func damage(err error) bool {
	_, corrupt := errors.AsType[flate.CorruptInputError](err)
	return corrupt || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum)
}
