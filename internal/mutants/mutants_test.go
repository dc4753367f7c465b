package mutants

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mutant is a wrong version of the library.
type mutant struct {
	name  string
	edits []edit
	kill  string // FOLDER:PATTERN, the -run pattern of the test that must fail; without FOLDER, in that of the first edit
}

// edit replaces old, which occurs once in file, by wrong.
type edit struct{ file, old, wrong string }

// TestEachMutantStillApplies fails when the code that a mutant spoils has changed: then the mutant has to
// change with it.
func TestEachMutantStillApplies(t *testing.T) {
	seen := make(map[string]bool)
	for _, m := range mutants {
		assert.False(t, seen[m.name], "%s is there twice", m.name)
		seen[m.name] = true
		overlay(t, m)
	}
}

// TestMutantsAreKilled runs, for each mutant, the test that is said to notice it.
func TestMutantsAreKilled(t *testing.T) {
	wanted := os.Getenv("MUTANTS")
	if wanted == "" {
		t.Skip("MUTANTS is not set")
	}
	two := make(chan struct{}, 2) // at a time: each compiles the package
	names := strings.Split(wanted, ",")
	for _, m := range mutants {
		if wanted != "all" && !slices.Contains(names, m.name) {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			two <- struct{}{}
			defer func() { <-two }()
			kill(t, m)
		})
	}
}

// kill expects the mutant's test to run, and to fail.
func kill(t *testing.T, m mutant) {
	folder, pattern := filepath.Dir(m.edits[0].file), m.kill
	if in, p, given := strings.Cut(m.kill, ":"); given {
		folder, pattern = in, p
	}
	module := "."
	if strings.HasPrefix(folder, "sqljournal") {
		module = "sqljournal"
	}
	within, err := filepath.Rel(module, folder)
	require.NoError(t, err)
	cmd := exec.Command("go", "test", "-count=1", "-short", "-timeout=60s", "-overlay="+overlay(t, m), "-run="+pattern, "-v", "./"+within)
	cmd.Dir = filepath.Join(root, module)
	out, err := cmd.CombinedOutput()
	text := string(out)
	require.NotContains(t, text, "[build failed]", "the mutant does not compile:\n%s", text)
	require.NotContains(t, text, "[setup failed]", "%s", text)
	require.NotContains(t, text, "no tests to run", "nothing is named %s", m.kill)
	require.Error(t, err, "%s survives %s", m.name, m.kill)
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit, "%s", text)
	require.Contains(t, text, "=== RUN", "%s", text)
}

const root = "../.."

// overlay writes the mutant's files to a temporary folder, and what go test is told of them.
func overlay(t *testing.T, m mutant) string {
	dir := t.TempDir()
	replace := make(map[string]string)
	for _, e := range m.edits {
		path, err := filepath.Abs(filepath.Join(root, e.file))
		require.NoError(t, err)
		from := path
		if spoiled, ok := replace[path]; ok {
			from = spoiled
		}
		source, err := os.ReadFile(from)
		require.NoError(t, err)
		require.Equal(t, 1, strings.Count(string(source), e.old), "%s: %s must have this once: %s", m.name, e.file, e.old)
		replace[path] = filepath.Join(dir, filepath.Base(e.file))
		wrong := strings.Replace(string(source), e.old, e.wrong, 1)
		require.NoError(t, os.WriteFile(replace[path], []byte(wrong), 0o600))
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	file := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(file, list, 0o600))
	return file
}
