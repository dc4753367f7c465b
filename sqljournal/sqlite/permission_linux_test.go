package sqlite_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// asNobody calls f as a user who owns nothing if this process is root's, whom permissions do not bind. Only f's thread
// becomes that user, and it ends with f.
func asNobody(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good
		if os.Getuid() == 0 {
			if err := syscall.Setfsuid(65534); err != nil {
				done <- err
				return
			}
		}
		done <- f()
	}()
	return <-done
}

// shared returns a new folder that anybody may come to.
func shared(t *testing.T) string {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755)) //nolint:gosec // for nobody
	return dir
}

func TestOpenSaysWhatItMayNot(t *testing.T) {
	dir := shared(t)
	if err := asNobody(func() error { _, err := os.ReadDir(dir); return err }); err != nil {
		t.Skipf("a user without rights does not come to the temporary folder: %v", err)
	}
	require.NoError(t, os.Chmod(dir, 0o555)) //nolint:gosec // for nobody
	if err := asNobody(func() error { return os.Mkdir(filepath.Join(dir, "new"), 0o700) }); err == nil {
		t.Skip("this process may not be a user whom permissions bind")
	}
	for name, c := range map[string]struct {
		folder, file os.FileMode // file is 0 if there is none
		reason       string
	}{
		"a new file in a folder to read":  {0o555, 0, "permission denied"},
		"a file to read in such a folder": {0o555, 0o444, "permission denied"},
		"a file to read":                  {0o777, 0o444, "readonly database"},
		"a file for others":               {0o777, 0o200, "unable to open database file"},
		"a folder that may not be used":   {0o600, 0o666, "permission denied"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := shared(t)
			path := filepath.Join(dir, "journal.db")
			if c.file != 0 {
				j, err := openAt(path)
				require.NoError(t, err)
				require.NoError(t, j.Close(t.Context()))
				require.NoError(t, os.Remove(path+".owner"))
				require.NoError(t, os.Remove(path+".mark"))
				require.NoError(t, os.Chmod(path, c.file))
			}
			require.NoError(t, os.Chmod(dir, c.folder))
			defer func() { require.NoError(t, os.Chmod(dir, 0o700)) }() // or it could not be removed
			err := asNobody(func() error {
				j, err := openAt(path)
				if err == nil {
					return j.Close(context.Background())
				}
				return err
			})
			require.ErrorContains(t, err, "open "+path+": ")
			require.ErrorContains(t, err, c.reason)
		})
	}
}
