package kafkajournal

import (
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Option configures a [Journal].
type Option func(*Journal)

// WithTopic sets the topic that has the events. Beside it there is one more, with ".places" behind its name. Default
// "jitney".
func WithTopic(name string) Option { return func(j *Journal) { j.topic = name } }

// WithPartitions sets how many partitions the topic is made with. A subscriber's partitions are shared by the processes
// that have it open, and a key is always in the same one. Default 8.
func WithPartitions(n int) Option { return func(j *Journal) { j.partitions = n } }

// WithReplication sets how many brokers keep a topic that is made. Default 3.
func WithReplication(n int) Option { return func(j *Journal) { j.replication = n } }

// WithRetention sets for how long, at least, events must be kept; a topic that is made keeps them that long. What has
// been removed before a subscriber has had it is an error in the log. Default: for ever.
func WithRetention(d time.Duration) Option { return func(j *Journal) { j.retention = d } }

// WithRemembered sets of how many of each partition's newest events the IDs are known, so that they are not stored
// twice: Open reads so many. Default 4,096.
func WithRemembered(n int) Option { return func(j *Journal) { j.remembered = n } }

// WithLease sets after how long the partitions of a process that has died become another's. It is Kafka's session
// timeout, and the brokers have bounds for it. Default 15 s.
func WithLease(d time.Duration) Option { return func(j *Journal) { j.lease = d } }

// WithHandover sets how long a process may take to give a partition away that is to be another's: handlers that run
// in it are waited for. It is Kafka's rebalance timeout. Default 60 s.
func WithHandover(d time.Duration) Option { return func(j *Journal) { j.handover = d } }

// WithLogger sets where the journal logs to. Default: slog.Default() when Open is called.
func WithLogger(l *slog.Logger) Option { return func(j *Journal) { j.log = l } }

// WithClient adds options to every client of the journal's: TLS, SASL, a dialer, timeouts. Those that the journal sets
// itself, as acks and groups, come behind them. Default: none.
func WithClient(opts ...kgo.Opt) Option {
	return func(j *Journal) { j.client = append(j.client, opts...) }
}

// AllowNotDurable lets a journal be opened on topics whose settings may lose events, or remove them.
func AllowNotDurable() Option { return func(j *Journal) { j.allowNotDurable = true } }
