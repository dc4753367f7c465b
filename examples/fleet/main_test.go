package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAFleetThatIsKilledBalances(t *testing.T) {
	program := filepath.Join(t.TempDir(), "fleet")
	build, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, string(build))
	var out, errs bytes.Buffer
	cmd := exec.Command(program, "-orders", "300", "-kills", "5", "-every", "400ms")
	cmd.Stdout, cmd.Stderr = &out, &errs
	require.NoError(t, cmd.Run(), "%s%s", out.String(), errs.String())
	require.Contains(t, out.String(), "\nbalanced\n")
}
