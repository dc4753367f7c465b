package dbtest

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Own is a server that a test has for itself, in a directory of its own, so that it can be killed.
type Own struct {
	Driver, DSN string

	command func() *exec.Cmd
	more    []string // arguments
	dir     string
	running *process
}

// process is a server that is running, or has ended.
type process struct {
	cmd   *exec.Cmd
	says  bytes.Buffer
	ended chan struct{}
}

// OwnPostgres starts a PostgreSQL server, or skips the test if there is none to start.
func OwnPostgres(t testing.TB) *Own {
	bin := "/usr/lib/postgresql/15/bin"
	if initdb, err := exec.LookPath("initdb"); err == nil {
		bin = filepath.Dir(initdb)
	}
	initdb, postgres := program(t, filepath.Join(bin, "initdb")), program(t, filepath.Join(bin, "postgres"))
	dir, port := home(t), freePort(t)
	data := filepath.Join(dir, "data")
	execute(t, dir, "nobody", initdb, "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "--no-locale", "-E", "UTF8")
	s := &Own{Driver: "pgx", DSN: fmt.Sprintf("postgres://postgres@127.0.0.1:%s/postgres?sslmode=disable", port), dir: dir}
	s.command = func() *exec.Cmd {
		return as(t, dir, "nobody", postgres, "-D", data, "-p", port, "-h", "127.0.0.1", "-k", dir,
			"-c", "commit_delay=5000", "-c", "commit_siblings=0") // so that it is in a commit most of the time
	}
	s.begin(t)
	return s
}

// OwnMariaDB starts a MariaDB server, or skips the test if there is none to start.
func OwnMariaDB(t testing.TB) *Own {
	install, mariadbd := program(t, "mariadb-install-db"), program(t, "mariadbd", "/usr/sbin/mariadbd")
	dir, port := home(t), freePort(t)
	data := filepath.Join(dir, "data")
	execute(t, dir, "nobody", install, "--no-defaults", "--datadir="+data, "--skip-test-db", "--auth-root-authentication-method=normal")
	s := &Own{Driver: "mysql", DSN: fmt.Sprintf("root@tcp(127.0.0.1:%s)/mysql", port), dir: dir}
	s.command = func() *exec.Cmd {
		return as(t, dir, "nobody", mariadbd, "--no-defaults", "--datadir="+data, "--socket="+filepath.Join(dir, "s"),
			"--pid-file="+filepath.Join(dir, "pid"), "--port="+port, "--bind-address=127.0.0.1", "--skip-grant-tables",
			"--log-bin=bin", "--sync-binlog=1",
			"--binlog-commit-wait-count=1000", "--binlog-commit-wait-usec=5000") // likewise
	}
	s.begin(t)
	return s
}

func (s *Own) begin(t testing.TB) {
	t.Cleanup(func() { s.End(os.Kill) })
	s.Start(t)
}

// End ends the server by a signal.
func (s *Own) End(by os.Signal) {
	if s.running != nil {
		_ = s.running.cmd.Process.Signal(by)
		<-s.running.ended
		s.running = nil
	}
}

// Start starts the server, and waits until it answers. It tries again while what is left of the one that was killed is
// in its way.
func (s *Own) Start(t testing.TB) {
	t.Helper()
	db, err := sql.Open(s.Driver, s.DSN)
	must(t, err)
	defer db.Close() //nolint:errcheck // it has been asked only
	for deadline := time.Now().Add(time.Minute); ; {
		if s.running == nil {
			cmd := s.command()
			cmd.Args = append(cmd.Args, s.more...)
			s.running = start(t, cmd)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		err := db.PingContext(ctx)
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.End(os.Kill)
			t.Fatalf("the server does not start: %v", err)
		}
		select {
		case <-s.running.ended:
			t.Logf("the server has ended at its start, will try again: %s", s.running.says.Bytes())
			s.running = nil
		default:
		}
		<-time.After(20 * time.Millisecond)
	}
}

// Restarting returns a function that starts the server anew, with more arguments than it usually has.
func (s *Own) Restarting(arguments ...string) func(t *testing.T) {
	return func(t *testing.T) {
		t.Helper()
		s.End(os.Interrupt)
		s.more = arguments
		s.Start(t)
	}
}

func start(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.says, &p.says
	cmd.WaitDelay = time.Second // its children may outlive it, and keep what it says open
	must(t, cmd.Start())
	go func() {
		defer close(p.ended)
		_ = cmd.Wait()
	}()
	return p
}

// program returns the first of names that there is, or skips the test.
func program(t testing.TB, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skipf("needs %s", filepath.Base(names[0]))
	return ""
}

// home returns a directory that other users can get to.
func home(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	return dir
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close() //nolint:errcheck // nothing was sent
	_, port, err := net.SplitHostPort(l.Addr().String())
	must(t, err)
	return port
}

func as(t testing.TB, dir, user, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	asUser(t, cmd, user, dir)
	return cmd
}

func execute(t testing.TB, dir, user, name string, args ...string) {
	t.Helper()
	if out, err := as(t, dir, user, name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}
