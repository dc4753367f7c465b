package sqlite

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"time"

	"github.com/gofrs/flock"

	"github.com/jitney-go/jitney"
)

// files are what the journal keeps beside its database.
type files struct {
	path  string
	owner *flock.Flock
	tail  *os.File
	info  os.FileInfo // of the database, when it was opened
}

// owner is what the owner's file says, for whoever finds it locked.
type owner struct {
	PID   int
	Host  string
	Since time.Time
}

// own makes this process the owner of the journal at path. The lock is the kernel's, on an open file of our own: it is
// free as soon as the process is dead, and nobody who opens and closes the file takes it away.
func own(path string) (*files, error) {
	f := &files{path: path, owner: flock.New(path+".owner", flock.SetPermissions(0o600))}
	locked, err := f.owner.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock %s.owner: %w", path, err)
	}
	if !locked {
		var o owner
		if text, err := os.ReadFile(path + ".owner"); err != nil || json.Unmarshal(text, &o) != nil {
			return nil, fmt.Errorf("%w", jitney.ErrInUse)
		}
		return nil, fmt.Errorf("%w by process %d on %s since %s", jitney.ErrInUse, o.PID, o.Host, o.Since.Format(time.RFC3339))
	}
	host, _ := os.Hostname()
	text, err := json.Marshal(owner{os.Getpid(), host, time.Now().Round(0)})
	if err == nil {
		err = os.WriteFile(path+".owner", append(text, '\n'), 0o600)
	}
	if err == nil {
		f.tail, err = os.OpenFile(path+".mark", os.O_RDWR|os.O_CREATE, 0o600)
	}
	if err != nil {
		return nil, errors.Join(err, f.owner.Unlock())
	}
	return f, nil
}

func (f *files) close(clean bool) error {
	var err error
	if clean {
		err = f.tail.Sync()
	}
	return errors.Join(err, f.tail.Close(), f.owner.Unlock())
}

// The mark: 8 bytes that say what it is, the position, and a checksum. It is written after the commit's fsync, and not
// fsynced itself: after the death of the process it is as it was, and after a power failure it may be older than the
// log, but never newer. So it never raises a false alarm.
const magic = "jitneyT1"

// ErrTruncated says that events are missing from the end of the journal that publishers were told are stored.
var ErrTruncated = errors.New("journal is shorter than what was acknowledged")

// TruncatedError is the ErrTruncated of a journal.
type TruncatedError struct {
	Path string
	// Has is the newest position that the journal has, Acknowledged the newest that a publisher was told of.
	Has, Acknowledged int64
}

func (e *TruncatedError) Error() string {
	return fmt.Sprintf("%v: it has %d events, and %d were acknowledged. "+
		"Restore a backup; or, to accept the loss, move %s.mark away", ErrTruncated, e.Has, e.Acknowledged, e.Path)
}

// Unwrap returns ErrTruncated.
func (e *TruncatedError) Unwrap() error { return ErrTruncated }

// verify compares the log's newest position with the mark.
func (f *files) verify(last int64, log *slog.Logger) error {
	info, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	f.info = info
	f.tellOf(network(f.path), log)
	b := make([]byte, 20)
	n, _ := f.tail.ReadAt(b, 0) // a shorter one is an error too
	if n == len(b) && string(b[:8]) == magic && crc32.ChecksumIEEE(b[:16]) == binary.LittleEndian.Uint32(b[16:]) {
		if acked := int64(binary.LittleEndian.Uint64(b[8:16])); acked > last {
			return &TruncatedError{f.path, last, acked}
		}
		return nil
	}
	if n > 0 && n < len(b) || n == len(b) {
		return fmt.Errorf("%s.mark is damaged: look at the journal, and move it away", f.path)
	}
	if last > 0 {
		log.Warn("sqlite: journal had no mark of what was acknowledged, which begins anew",
			slog.String("path", f.path), slog.Int64("events", last))
	}
	f.mark(last)
	return nil
}

// tellOf says that the journal is on a network's file system, if it has the name of one.
func (f *files) tellOf(network string, log *slog.Logger) {
	if network != "" {
		log.Warn("sqlite: journal is on a file system whose locks and fsync are not to be relied on",
			slog.String("path", f.path), slog.String("file_system", network))
	}
}

// ErrMoved says that the journal's file has been removed, moved or replaced while it was open: what is stored now
// would not be there at the next start.
var ErrMoved = errors.New("journal's file is not where it was")

// inPlace reports whether the database is still the file at its path.
func (f *files) inPlace() error {
	info, err := os.Stat(f.path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMoved, err)
	}
	if !os.SameFile(info, f.info) {
		return fmt.Errorf("%w: another is at %s", ErrMoved, f.path)
	}
	return nil
}

// mark notes that all up to last is acknowledged. What fails here makes the mark older, no more.
func (f *files) mark(last int64) {
	b := make([]byte, 0, 20)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint64(b, uint64(last))
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	_, _ = f.tail.WriteAt(b, 0)
}
