package jitney_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain lets no test leave a goroutine behind.
func TestMain(m *testing.M) {
	code := m.Run()
	if left := rigLeft(5 * time.Second); code == 0 && len(left) > 0 {
		fmt.Fprintf(os.Stderr, "%d goroutines are left after all tests:\n\n%s\n", len(left), strings.Join(left, "\n\n"))
		code = 1
	}
	os.Exit(code)
}

// rigLeft returns the stacks of the goroutines that nobody has ended within patience.
func rigLeft(patience time.Duration) []string {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		left := rigStacks()
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
	}
}

// rigStacks returns the stacks of all goroutines but the caller's and those of the runtime and of testing.
func rigStacks() (left []string) {
	buf := make([]byte, 4<<20)
	all := strings.Split(strings.TrimSpace(string(buf[:runtime.Stack(buf, true)])), "\n\n")
	for _, s := range all[1:] {
		if !strings.Contains(s, "os/signal.") && !strings.Contains(s, "created by testing.") &&
			!strings.Contains(s, "created by runtime") {
			left = append(left, s)
		}
	}
	return left
}
