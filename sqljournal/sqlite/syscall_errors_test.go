package sqlite_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestG28ErrorsAtEachSystemCall lets the system calls of a child fail for a while, as on a disk that is full or broken
// and recovers: those that one thread makes from one number to another. The child goes on publishing, and the same
// process gets through. What SQLite makes of an error is its own: to it a full disk is an I/O error where it enlarges
// the index of its log, and a quota that is used up always is.
func TestG28ErrorsAtEachSystemCall(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	states, bad, doubted, refused, unopened, acked := 0, 0, 0, 0, 0, 0
	classes := make(map[string]int)
	for _, c := range []struct{ call, errors, windows string }{
		{"pwrite64", "EIO ENOSPC EDQUOT", "1..20 60..79"},
		{"fsync", "EIO", "1..20 11..30"},
		{"pwrite64,pread64,fsync,open", "EIO", "5..24 60..79"},
		{"ftruncate", "EIO", "1..20"},
		{"open", "EMFILE", "1..20"},
		{"unlink", "EIO", "1..20"},
		{"mmap", "ENOMEM", "1..20"},
		{"pread64", "EIO", "1..20"},
	} {
		for _, name := range strings.Fields(c.errors) {
			for _, window := range strings.Fields(c.windows) {
				what := inject(fmt.Sprintf("%s:error=%s:when=%s", c.call, name, window))
				dir := t.TempDir()
				r := traced(t, dir, log, c.call, what, "JITNEY_SYSCALL_EVENTS=200", "JITNEY_SYSCALL_CHECKPOINT=20")
				states++
				acked, refused, doubted, unopened = acked+len(r.acked), refused+len(r.refused), doubted+r.doubted, unopened+r.unopened
				wrong := judge(t, dir, r)
				for class, n := range r.classes {
					if classes[class] += n; strings.Contains(class, " ") {
						wrong = append(wrong, class)
					}
				}
				if name == "EDQUOT" && r.classes["full"] > 0 {
					wrong = append(wrong, "a used up quota is called a full disk")
				}
				if r.handled != len(r.acked) {
					wrong = append(wrong, fmt.Sprintf("%d of %d acknowledged are handled", r.handled, len(r.acked)))
				}
				if len(wrong) > 0 {
					bad++
					t.Errorf("%s: %s\n%s", what, strings.Join(wrong, "; "), r.complaints)
				}
			}
		}
	}
	assert.Positive(t, refused)
	assert.Positive(t, doubted)
	t.Logf("%d states, %d bad: %d acknowledged, %d refused, %d times in doubt, %d times not opened; %v",
		states, bad, acked, refused, doubted, unopened, classes)
}
