package sqlite

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
)

// The numbers are those of statfs(2), and not taken from the table.
func TestFileSystemsThatAreElsewhereAreKnown(t *testing.T) {
	for number, name := range map[uint32]string{
		0x6969: "NFS", 0x517b: "SMB", 0xff534d42: "CIFS", 0xfe534d42: "SMB2", 0x01021997: "9P",
		0xef53: "", 0x58465342: "", 0x9123683e: "", 0x01021994: "", 0x794c7630: "", // ext4, XFS, Btrfs, tmpfs, overlayfs
	} {
		assert.Equal(t, name, networks[number], "%#x", number)
	}
	assert.Empty(t, network("/proc"), "which is a file system of this machine")
	assert.Empty(t, network("/is/not/there"))
}

func TestAFileSystemThatIsElsewhereIsWarnedOf(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	f := &files{path: "/srv/share/journal.db"}
	f.tellOf("", log)
	assert.Empty(t, out.String())
	f.tellOf("NFS", log)
	assert.Contains(t, out.String(), "level=WARN")
	assert.Contains(t, out.String(), "path=/srv/share/journal.db")
	assert.Contains(t, out.String(), "file_system=NFS")
}
