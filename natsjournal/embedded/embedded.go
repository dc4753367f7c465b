// Package embedded runs a NATS server within the process, for journals that need no other: for tests, for examples, and
// for programs that are to be one file and may need a cluster later. The server listens on no port, unless it is told
// to, keeps everything in one folder, and syncs what it acknowledges.
//
//	j, err := embedded.Open(ctx, "/var/lib/shop", types)
//	b := jitney.New(jitney.WithJournal(j))
//	// … subscribe, publish …
//	err = errors.Join(b.Shutdown(ctx), j.Close(ctx))
package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/natsjournal"
	"github.com/jitney-go/jitney/wire"
)

// Option configures a [Server].
type Option func(*server.Options)

// WithPort has the server listen on 127.0.0.1, on a port, or one that is free if it is 0: for other programs on the same
// machine. Whoever can connect may do everything. Default: it listens on no port.
func WithPort(port int) Option {
	return func(o *server.Options) {
		o.DontListen, o.Host, o.Port = false, "127.0.0.1", port
		if port == 0 {
			o.Port = server.RANDOM_PORT
		}
	}
}

// Server is a NATS server in this process.
type Server struct {
	server *server.Server
	owner  *flock.Flock
}

// MaxPayload is the size that the server allows a message: that of the largest event which the journal encodes, and its
// headers.
const MaxPayload = 1<<20 + 128<<10

// patience is how long the server may take to start, if ctx says nothing else.
const patience = 30 * time.Second

// Start starts a server that keeps its data in a folder, which is made if it is not there. A folder that another one
// has open is jitney.ErrInUse.
func Start(ctx context.Context, folder string, opts ...Option) (*Server, error) {
	s, err := start(ctx, folder, opts)
	if err != nil {
		return nil, fmt.Errorf("embedded: %s: %w", folder, err)
	}
	return s, nil
}

func start(ctx context.Context, folder string, opts []Option) (*Server, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	s := &Server{owner: flock.New(filepath.Join(folder, "owner"), flock.SetPermissions(0o600))}
	locked, err := s.owner.TryLock()
	if err == nil && !locked {
		err = jitney.ErrInUse
	}
	if err != nil {
		return nil, err
	}
	if err := s.run(ctx, folder, opts); err != nil {
		return nil, errors.Join(err, s.owner.Unlock())
	}
	return s, nil
}

func (s *Server) run(ctx context.Context, folder string, opts []Option) error {
	o := &server.Options{
		ServerName: "jitney", DontListen: true, NoLog: true, NoSigs: true, MaxPayload: MaxPayload,
		JetStream: true, StoreDir: folder, SyncAlways: true,
	}
	for _, set := range opts {
		set(o)
	}
	var err error
	if s.server, err = server.NewServer(o); err != nil {
		return err
	}
	s.server.Start()
	wait := patience
	if deadline, has := ctx.Deadline(); has {
		wait = min(wait, time.Until(deadline))
	}
	if !s.server.ReadyForConnections(wait) || !s.server.JetStreamEnabled() {
		s.server.Shutdown()
		s.server.WaitForShutdown()
		return errors.New("the server does not start: is the folder writable, and its port free?")
	}
	return nil
}

// Connect returns a connection that needs no port. The options come after those of natsjournal.ConnOptions.
func (s *Server) Connect(opts ...nats.Option) (*nats.Conn, error) {
	return nats.Connect("", append(append(natsjournal.ConnOptions(), nats.InProcessServer(s.server)), opts...)...)
}

// URL is where the server listens; it is of no use without WithPort.
func (s *Server) URL() string { return s.server.ClientURL() }

// Stop ends the server, and returns when all its files are closed. It may be called again.
func (s *Server) Stop() error {
	s.server.Shutdown()
	s.server.WaitForShutdown()
	return s.owner.Unlock()
}

// Journal is a journal with a server of its own.
type Journal struct {
	*natsjournal.Journal
	server *Server
	conn   *nats.Conn
}

// Open starts a server that keeps its data in a folder, and opens the journal in it. One process at a time may have it
// open: jitney.ErrInUse. The server syncs, so natsjournal.WithServerSync is implied.
func Open(ctx context.Context, folder string, types *wire.Types, opts ...natsjournal.Option) (*Journal, error) {
	s, err := Start(ctx, folder)
	if err != nil {
		return nil, err
	}
	j := &Journal{server: s}
	if j.conn, err = s.Connect(); err == nil {
		j.Journal, err = natsjournal.Open(ctx, j.conn, types, append([]natsjournal.Option{natsjournal.WithServerSync()}, opts...)...)
	}
	if err != nil {
		return nil, errors.Join(err, j.stop())
	}
	return j, nil
}

// Close closes the journal, as [natsjournal.Journal.Close] does, and ends its server.
func (j *Journal) Close(ctx context.Context) error {
	return errors.Join(j.Journal.Close(ctx), j.stop())
}

func (j *Journal) stop() error {
	if j.conn != nil {
		j.conn.Close()
	}
	return j.server.Stop()
}
