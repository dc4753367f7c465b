package jitney_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestReadmeCodeIsCompiled finds each block of Go code of the README, line for line, in the package
// examples/readme, and each promise's test in this package.
func TestReadmeCodeIsCompiled(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	code := sources(t, "examples/readme") + sources(t, "sqljournal")
	blocks := strings.Split(string(readme), "```go\n")[1:]
	require.NotEmpty(t, blocks)
	for _, b := range blocks {
		b, _, _ = strings.Cut(b, "```")
		assert.Contains(t, code, flat(b))
	}
}

func TestEachPromiseHasItsTest(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	tests := sources(t, ".")
	promises := 0
	for line := range strings.Lines(string(readme)) {
		if _, name, ok := strings.Cut(line, "| `TestG"); ok {
			name, _, _ = strings.Cut(name, "`")
			if !strings.Contains(tests, "func TestG"+name+"(t *testing.T)") {
				t.Errorf("no test TestG%s", name) // all tests' text is too long to be shown
			}
			promises++
		}
	}
	assert.Equal(t, 45, promises)
}

// TestTheMapNamesEachFile looks for each file of this package, and each directory, in DESIGN.md.
func TestTheMapNamesEachFile(t *testing.T) {
	design, err := os.ReadFile("DESIGN.md")
	require.NoError(t, err)
	_, table, _ := strings.Cut(string(design), "## The map")
	table, _, _ = strings.Cut(table, "\n## ")
	require.NoError(t, filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil || path == ".":
			return err
		case d.IsDir() && (strings.HasPrefix(name, ".") || name == "testdata" || name == "docs" || name == "tools"):
			return fs.SkipDir
		case d.IsDir() && (path == "examples" || path == "internal"):
			return nil // what is in there is on the map
		case d.IsDir():
			assert.Contains(t, table, "`"+path+"/`")
			return fs.SkipDir
		case filepath.Ext(path) == ".go" && !strings.HasSuffix(path, "_test.go"):
			assert.Contains(t, table, "`"+path+"`")
		}
		return nil
	}))
}

// sources returns the Go files below dir, flat.
func sources(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	require.NoError(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" {
			return err
		}
		text, err := os.ReadFile(path)
		all.WriteString(flat(string(text)))
		return err
	}))
	return all.String()
}

// flat takes the indentation away, and the blanks before a comment that gofmt has aligned.
func flat(code string) string {
	var b strings.Builder
	for line := range strings.Lines(code) {
		b.WriteString(strings.Join(strings.Fields(line), " ") + "\n")
	}
	return b.String()
}
