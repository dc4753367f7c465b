//go:build !unix

package dbtest

import (
	"os/exec"
	"testing"
)

func asUser(t testing.TB, _ *exec.Cmd, _, _ string) { t.Skip("needs Unix") }
