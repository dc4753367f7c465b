package natsjournal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/jitney-go/jitney"
)

// prepare finds the stream and the buckets, or makes them, and asks for what not every server can do.
func (j *Journal) prepare(ctx context.Context) error {
	if version := j.nc.ConnectedServerVersion(); older(version, 2, 9) {
		return fmt.Errorf("server %s is too old: the journal needs 2.9", version)
	}
	if err := j.prepareStream(ctx); err != nil {
		return fmt.Errorf("stream: %w", because(ctx, err))
	}
	config := j.stream.CachedInfo().Config
	if j.batches = config.AllowAtomicPublish; !j.batches {
		j.log.Warn("natsjournal: the server has no atomic batches, several events at once are refused; 2.12 has them",
			slog.String("stream", j.name), slog.String("server", j.nc.ConnectedServerVersion()))
	}
	for _, b := range []struct {
		kv   *jetstream.KeyValue
		name string
		age  time.Duration
	}{{&j.places, "_places", 0}, {&j.inbox, "_inbox", j.inboxAge}, {&j.letters, "_letters", 0}} {
		kv, err := j.bucket(ctx, j.name+b.name, b.age)
		if err != nil {
			return fmt.Errorf("bucket %s: %w", j.name+b.name, because(ctx, err))
		}
		*b.kv = kv
	}
	_, err := j.end(ctx)
	return err
}

func older(version string, major, minor int) bool {
	var a, b int
	if _, err := fmt.Sscanf(version, "%d.%d", &a, &b); err != nil {
		return false
	}
	return a < major || a == major && b < minor
}

func (j *Journal) prepareStream(ctx context.Context) (err error) {
	j.stream, err = j.js.Stream(ctx, j.name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		j.stream, err = j.js.CreateStream(ctx, j.config())
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // somebody has made it meanwhile
			j.stream, err = j.js.Stream(ctx, j.name)
		}
	}
	if err != nil {
		return err
	}
	config := j.stream.CachedInfo().Config
	if !slices.Contains(config.Subjects, j.name+".event.>") {
		return fmt.Errorf("it is there, and does not have the subject %s.event.>", j.name)
	}
	if why := j.losesEvents(config); len(why) > 0 && !j.allowNotDurable {
		return fmt.Errorf("%w: %s", jitney.ErrNotDurable, strings.Join(why, "; "))
	}
	if config.AllowAtomicPublish || older(j.nc.ConnectedServerVersion(), 2, 12) {
		return nil
	}
	config.AllowAtomicPublish = true
	if j.stream, err = j.js.UpdateStream(ctx, config); err != nil {
		return fmt.Errorf("atomic batches (allow_atomic): %w", err)
	}
	return nil
}

// config is how the stream is made.
func (j *Journal) config() jetstream.StreamConfig {
	limit := j.maxBytes
	if limit == 0 {
		limit = -1
	}
	return jetstream.StreamConfig{
		Name: j.name, Description: "events of jitney", Subjects: []string{j.name + ".event.>"},
		Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, DenyDelete: true,
		Replicas: j.replicas, MaxBytes: limit, MaxAge: j.maxAge, Duplicates: j.duplicates,
		AllowAtomicPublish: !older(j.nc.ConnectedServerVersion(), 2, 12),
	}
}

// losesEvents says which of a stream's settings let events be lost that were acknowledged.
func (j *Journal) losesEvents(c jetstream.StreamConfig) (why []string) {
	limited := c.MaxMsgs > 0 || c.MaxBytes > 0 || c.MaxMsgsPerSubject > 0
	for _, s := range []struct {
		is  bool
		why string
	}{
		{c.Storage != jetstream.FileStorage, "it is in memory (storage)"},
		{c.Retention != jetstream.LimitsPolicy, "events go when somebody has had them (retention " + c.Retention.String() + ")"},
		{c.Discard != jetstream.DiscardNew && limited, "the oldest events go when it is full (discard old)"},
		{c.AllowRollup, "any message can remove all before it (allow_rollup_hdrs)"},
		{c.NoAck, "it acknowledges nothing (no_ack)"},
		{c.Mirror != nil || len(c.Sources) > 0, "it is filled from another stream (mirror, sources)"},
		{c.PersistMode == jetstream.AsyncPersistMode, "it acknowledges before it writes (persist_mode async)"},
		{c.AllowDirect && c.Replicas > 1, "a replica that is behind may answer for it (allow_direct)"},
		{c.Replicas < 3 && !j.serverSyncs, fmt.Sprintf("it has %d replicas, and whether the server syncs what it acknowledges cannot be seen: see WithServerSync", c.Replicas)},
	} {
		if s.is {
			why = append(why, s.why)
		}
	}
	return why
}

func (j *Journal) bucket(ctx context.Context, name string, age time.Duration) (jetstream.KeyValue, error) {
	kv, err := j.js.KeyValue(ctx, name)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = j.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: name, History: 1, Storage: jetstream.FileStorage, Replicas: j.replicas, TTL: age,
		})
		if errors.Is(err, jetstream.ErrBucketExists) {
			kv, err = j.js.KeyValue(ctx, name)
		}
	}
	if err != nil {
		return nil, err
	}
	status, err := kv.Status(ctx)
	if err != nil {
		return nil, err
	}
	if info, is := status.(*jetstream.KeyValueBucketStatus); is && info.StreamInfo().Config.Storage != jetstream.FileStorage && !j.allowNotDurable {
		return nil, fmt.Errorf("%w: it is in memory (storage)", jitney.ErrNotDurable)
	}
	return kv, nil
}
