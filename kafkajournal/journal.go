package kafkajournal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jitney-go/jitney/wire"
)

// Journal implements [jitney.Journal] on Kafka. Its methods may be called by several goroutines at once.
type Journal struct {
	brokers []string
	types   *wire.Types

	topic           string
	partitions      int
	replication     int
	retention       time.Duration
	remembered      int
	lease, handover time.Duration
	log             *slog.Logger
	client          []kgo.Opt
	allowNotDurable bool

	topicID    [16]byte
	maxMessage int         // bytes of a batch of records that the topic takes
	producer   *kgo.Client // of single events, and of the places
	admin      *kadm.Client
	places     *table
	recent     *recent
	batches    batches
	deadline   deadline
	horizon    horizon

	mu      sync.Mutex
	cursors map[string]*cursor
	closed  bool
}

// ErrClosed says that the journal is closed.
var ErrClosed = errors.New("journal is closed")

// Open opens the journal that brokers, "host:port" each, keep in a topic. The topic is made if it is missing; if it is
// there, or has been made otherwise than asked for, its settings are looked at: jitney.ErrNotDurable names each that may
// lose an event.
func Open(ctx context.Context, brokers []string, types *wire.Types, opts ...Option) (*Journal, error) {
	j := &Journal{
		brokers: brokers, types: types, topic: "jitney", partitions: 8, replication: 3, remembered: 4096,
		lease: 15 * time.Second, handover: time.Minute, log: slog.Default(), cursors: make(map[string]*cursor),
	}
	for _, o := range opts {
		o(j)
	}
	j.batches.turn = make(chan struct{}, 1)
	j.batches.life, j.batches.end = context.WithCancel(context.Background())
	j.recent = newRecent()
	if err := j.open(ctx); err != nil {
		j.shut()
		return nil, fmt.Errorf("kafkajournal: open %s: %w", j.topic, err)
	}
	return j, nil
}

var validTopic = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,200}$`)

func (j *Journal) check() error {
	switch {
	case len(j.brokers) == 0:
		return errors.New("no brokers")
	case j.types == nil:
		return errors.New("types is nil: make it with wire.NewTypes, and register the events")
	case !validTopic.MatchString(j.topic) || j.topic == "." || j.topic == "..":
		return errors.New("the topic's name must be of letters, digits, dots, underscores and hyphens, at most 200")
	case j.partitions < 1 || j.partitions > maxPartitions:
		return fmt.Errorf("%d partitions: there may be 1 to %d", j.partitions, maxPartitions)
	}
	return j.types.Check()
}

func (j *Journal) open(ctx context.Context) (err error) {
	if err := j.check(); err != nil {
		return err
	}
	admin, err := kgo.NewClient(j.options()...)
	if err != nil {
		return err
	}
	j.admin = kadm.NewClient(admin)
	if err := j.prepare(ctx); err != nil {
		return err
	}
	if j.producer, err = kgo.NewClient(j.producing()...); err != nil {
		return err
	}
	if j.places, err = openTable(j, j.topic+placesSuffix); err != nil {
		return err
	}
	if err := j.places.sync(ctx); err != nil {
		return err
	}
	return j.lookBack(ctx)
}

// placesSuffix is behind the topic's name in that of the table of places.
const placesSuffix = ".places"

// fetchMaxWait is how long a broker may wait for events before it answers that there are none: as in Java's client, and
// not the 5 s of kgo. It fetches a broker's partitions as soon as it knows the place of one, and those of the others are
// fetched after that answer.
const fetchMaxWait = 500 * time.Millisecond

// options are those of all clients, and more behind them.
func (j *Journal) options(more ...kgo.Opt) []kgo.Opt {
	return slices.Concat([]kgo.Opt{kgo.FetchMaxWait(fetchMaxWait)}, j.client, []kgo.Opt{
		kgo.SeedBrokers(j.brokers...), kgo.ClientID("jitney"), kgo.MetadataMinAge(250 * time.Millisecond),
	}, more)
}

// producing are the options of a client that stores events.
func (j *Journal) producing(more ...kgo.Opt) []kgo.Opt {
	return j.options(append(more,
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(lanes()), kgo.ProducerBatchMaxBytes(int32(j.maxMessage)),
		kgo.ProducerLinger(0), kgo.MaxBufferedRecords(1<<16))...)
}

// transactionID is different in each process, so that none ends another's transactions.
func (j *Journal) transactionID() string { return j.topic + "." + uuid.NewString() }

// Close stores what has been settled, and ends the journal. Shut the bus down first. Whatever would write returns
// ErrClosed from then on. If ctx ends before all is stored it returns its error, and ends the journal all the same.
func (j *Journal) Close(ctx context.Context) error {
	j.mu.Lock()
	again := j.closed
	j.closed = true
	open := slices.Collect(maps.Values(j.cursors))
	j.mu.Unlock()
	if again {
		return nil
	}
	var errs []error
	for _, c := range open {
		errs = append(errs, c.Close(ctx))
	}
	errs = append(errs, j.batches.await(ctx), j.producer.Flush(ctx))
	j.shut()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("kafkajournal: close %s: %w", j.topic, err)
	}
	return nil
}

// shut ends the clients.
func (j *Journal) shut() {
	if j.places != nil {
		j.places.close()
	}
	j.batches.shut()
	if j.producer != nil {
		j.producer.Close()
	}
	if j.admin != nil {
		j.admin.Close()
	}
}

func (j *Journal) isClosed() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.closed
}
