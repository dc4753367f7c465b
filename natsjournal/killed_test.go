package natsjournal_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney/natsjournal"
	"github.com/jitney-go/jitney/natsjournal/embedded"
	"github.com/jitney-go/jitney/natsjournal/internal/natstest"
)

// The environment of a process that is nothing but a server.
const (
	serverFolder = "JITNEY_SERVER_FOLDER"
	serverPort   = "JITNEY_SERVER_PORT"
)

func TestMain(m *testing.M) {
	if folder := os.Getenv(serverFolder); folder != "" {
		if err := serve(folder); err != nil {
			fmt.Fprintln(os.Stderr, "server:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// serve runs a server until its parent ends, and says where it is.
func serve(folder string) error {
	var at int
	if _, err := fmt.Sscan(os.Getenv(serverPort), &at); err != nil {
		return err
	}
	s, err := embedded.Start(context.Background(), folder, embedded.WithPort(at))
	if err != nil {
		return err
	}
	fmt.Println(s.URL())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// server is one in a process of its own.
type server struct {
	url  string
	kill func()
}

func startServer(t *testing.T, folder, at string) *server {
	t.Helper()
	program, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), serverFolder+"="+folder, serverPort+"="+at)
	cmd.Stderr = os.Stderr
	_, err = cmd.StdinPipe() // it ends when this process does
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	s := &server{kill: func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}}
	s.url, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		s.kill()
	}
	require.NoError(t, err, "the server has not said where it is")
	s.url = strings.TrimSpace(s.url)
	return s
}

func TestG19G21NothingAcknowledgedIsLostWhenTheServerIsKilled(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	folder := t.TempDir()
	s := startServer(t, folder, "0")
	t.Cleanup(func() { s.kill() })
	at := s.url[strings.LastIndex(s.url, ":")+1:]
	j := open(t, connecting(s.url), natsjournal.WithLease(longLease))
	l := natstest.Begin(ctx, j)
	for range 3 {
		l.GoesOn(t, 50)
		since := time.Now()
		s.kill()
		s = startServer(t, folder, at)
		l.Back(t, since)
	}
	l.GoesOn(t, 50)
	l.End(ctx, t, j)
}
