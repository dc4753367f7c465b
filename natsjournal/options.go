package natsjournal

import (
	"log/slog"
	"time"
)

// Option configures a [Journal].
type Option func(*Journal)

// WithName sets the name of the journal's stream: letters, digits, - and _, at most 32. What the journal keeps beside it
// is in the buckets <name>_places, <name>_inbox and <name>_letters. Default "JITNEY".
func WithName(name string) Option { return func(j *Journal) { j.name = name } }

// WithReplicas sets on how many servers of a cluster the stream and the buckets are kept, when they are made: 1, 3 or 5.
// Default 1.
func WithReplicas(n int) Option { return func(j *Journal) { j.replicas = n } }

// WithMaxBytes sets how large the stream may become, when it is made. When it is full Append returns ErrFull; nothing
// old is removed for something new. Default: no limit.
func WithMaxBytes(n int64) Option { return func(j *Journal) { j.maxBytes = n } }

// WithMaxAge sets after how long the server removes an event, when the stream is made, whether or not all subscribers
// have had it: one that has not says so in its log. Default: never.
func WithMaxAge(d time.Duration) Option { return func(j *Journal) { j.maxAge = d } }

// WithDuplicateWindow sets for how long the server knows an event's ID, when the stream is made: an envelope that is
// published again within that time is stored once. The server keeps the IDs in memory. Default 2 minutes.
func WithDuplicateWindow(d time.Duration) Option { return func(j *Journal) { j.duplicates = d } }

// WithInboxAge sets how long the marks of Inbox are kept, when their bucket is made. It must be longer than the lease.
// Default: for ever.
func WithInboxAge(d time.Duration) Option { return func(j *Journal) { j.inboxAge = d } }

// WithLease sets after how long a subscriber becomes another process's when the one that has it is dead, or cannot reach
// the server. It is renewed three times as often. Processes that share a journal must have the same. Default 15 s.
func WithLease(d time.Duration) Option { return func(j *Journal) { j.lease = d } }

// WithLogger sets where the journal logs to. Default: slog.Default() when Open is called.
func WithLogger(l *slog.Logger) Option { return func(j *Journal) { j.log = l } }

// WithServerSync says that the server has sync_interval: always in its configuration, which no client can ask it for.
// Without it, a stream with fewer than three replicas is jitney.ErrNotDurable.
func WithServerSync() Option { return func(j *Journal) { j.serverSyncs = true } }

// AllowNotDurable lets a journal be opened that may lose events it has acknowledged: by a failure of the power, or by the
// settings of a stream that somebody else has made.
func AllowNotDurable() Option { return func(j *Journal) { j.allowNotDurable = true } }
