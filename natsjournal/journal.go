package natsjournal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jitney-go/jitney/wire"
)

// Journal implements [jitney.Journal] on a stream of NATS JetStream. Its methods may be called by several goroutines at
// once.
type Journal struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	stream jetstream.Stream
	types  *wire.Types
	log    *slog.Logger
	ended  func() // what Close has to do at last

	places  jetstream.KeyValue
	inbox   jetstream.KeyValue
	letters jetstream.KeyValue

	name            string
	token           string // whose the claims of this process are
	replicas        int
	maxBytes        int64
	maxAge          time.Duration
	duplicates      time.Duration
	inboxAge        time.Duration
	lease           time.Duration
	serverSyncs     bool
	allowNotDurable bool

	batches bool          // the server can store several events together
	batch   chan struct{} // has an element for each batch that is on its way

	known  atomic.Int64 // the newest position that this process has heard of
	oldest atomic.Int64 // the first one that is still there
	asked  atomic.Int64 // when the server was asked for that, in nanoseconds since 1970

	stop      chan struct{} // closed to end watch
	unwatched chan struct{} // closed by watch

	mu      sync.Mutex
	closed  bool
	link    context.Context // ends with the connection that there is now
	unlink  context.CancelFunc
	cursors map[string]*cursor
	claims  map[string]chan struct{} // keys of the inbox whose handlers run here; closed when they have returned
}

// ErrClosed says that the journal is closed.
var ErrClosed = errors.New("journal is closed")

var validName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,32}$`)

// Open opens the journal on a connection that stays the caller's, and makes its stream and buckets if they are not there.
// An existing stream whose settings may lose events is jitney.ErrNotDurable, and its error names them.
func Open(ctx context.Context, nc *nats.Conn, types *wire.Types, opts ...Option) (*Journal, error) {
	j := &Journal{
		nc: nc, types: types, log: slog.Default(), name: "JITNEY", replicas: 1, duplicates: 2 * time.Minute, lease: 15 * time.Second,
		token: uuid.NewString(),
		ended: func() {}, cursors: make(map[string]*cursor), claims: make(map[string]chan struct{}), batch: make(chan struct{}, maxBatches),
		stop: make(chan struct{}), unwatched: make(chan struct{}),
	}
	j.link, j.unlink = context.WithCancel(context.Background())
	for _, o := range opts {
		o(j)
	}
	if err := j.open(ctx); err != nil {
		return nil, fmt.Errorf("natsjournal: open %s: %w", j.name, err)
	}
	go j.watch()
	return j, nil
}

// Connect is Open with a connection of the journal's own, which finds the server again for as long as it takes; Close
// closes it. url may be several, with commas between them.
func Connect(ctx context.Context, url string, types *wire.Types, opts ...Option) (*Journal, error) {
	nc, err := nats.Connect(url, ConnOptions()...)
	if err != nil {
		return nil, fmt.Errorf("natsjournal: connect: %w", err)
	}
	j, err := Open(ctx, nc, types, opts...)
	if err != nil {
		nc.Close()
		return nil, err
	}
	j.ended = nc.Close
	return j, nil
}

// ConnOptions are what Connect sets for its connection, for programs that make one themselves: it is made again for ever,
// a silent one is given up after 20 s, and what cannot be sent now is refused, not kept to be sent at a later time.
func ConnOptions() []nats.Option {
	return []nats.Option{
		nats.Name("jitney"), nats.MaxReconnects(-1), nats.ReconnectWait(100 * time.Millisecond), nats.ReconnectBufSize(-1),
		nats.PingInterval(10 * time.Second), nats.MaxPingsOutstanding(1),
	}
}

func (j *Journal) open(ctx context.Context) (err error) {
	switch {
	case j.nc == nil:
		return errors.New("the connection is nil")
	case j.types == nil:
		return errors.New("types is nil: make it with wire.NewTypes, and register the events")
	case !validName.MatchString(j.name):
		return fmt.Errorf("name %q: it must be letters, digits, - and _, at most 32", j.name)
	case j.lease < time.Millisecond || j.inboxAge > 0 && j.inboxAge <= j.lease:
		return fmt.Errorf("a lease of %s, and marks that are kept for %s", j.lease, j.inboxAge)
	}
	if err := j.types.Check(); err != nil {
		return err
	}
	ctx, cancel := j.patiently(ctx, patience)
	defer cancel()
	if j.js, err = jetstream.New(j.nc, jetstream.WithPublishAsyncMaxPending(maxPending)); err != nil {
		return err
	}
	return j.prepare(ctx)
}

// End implements [jitney.Journal].
func (j *Journal) End(ctx context.Context) (int64, error) {
	end, err := j.end(ctx)
	if err != nil {
		return 0, fmt.Errorf("natsjournal: end of %s: %w", j.name, err)
	}
	return end, nil
}

func (j *Journal) end(ctx context.Context) (int64, error) {
	ctx, cancel := j.patiently(ctx, patience)
	defer cancel()
	info, err := j.stream.Info(ctx)
	if err != nil {
		return 0, because(ctx, err)
	}
	j.oldest.Store(int64(info.State.FirstSeq))
	j.asked.Store(time.Now().UnixNano())
	j.heard(int64(info.State.LastSeq))
	return int64(info.State.LastSeq), nil
}

// heard notes that there is an event at a position.
func (j *Journal) heard(position int64) {
	for known := j.known.Load(); known < position && !j.known.CompareAndSwap(known, position); known = j.known.Load() {
	}
}

// Close stores what has been settled, frees the places of subscribers that are still open, and ends the journal. Shut the
// bus down first. It may be called again.
func (j *Journal) Close(ctx context.Context) error {
	j.mu.Lock()
	first := !j.closed
	j.closed = true
	var open []*cursor
	for _, c := range j.cursors {
		open = append(open, c)
	}
	j.mu.Unlock()
	var errs []error
	for _, c := range open {
		errs = append(errs, c.end(ctx, false))
	}
	if first {
		close(j.stop)
		<-j.unwatched
		j.unlink()
		j.js.CleanupPublisher()
		j.ended()
	}
	return errors.Join(errs...)
}

func (j *Journal) isClosed() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.closed
}
