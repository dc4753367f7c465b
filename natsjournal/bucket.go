package natsjournal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// entry is a key of a bucket.
type entry struct {
	key      string
	revision uint64
	value    []byte
}

// each calls f for each key of a bucket that matches a pattern. A bucket's own Watch says when it has come to the end by
// the number of messages that there were, and waits for ever if some of them are removed meanwhile, as they are here.
func (j *Journal) each(ctx context.Context, kv jetstream.KeyValue, pattern string, f func(entry) error) error {
	ctx, cancel := j.patiently(ctx, patience)
	defer cancel()
	newest, err := j.newest(ctx, kv.Bucket(), pattern)
	if err != nil {
		return because(ctx, err)
	}
	for _, e := range newest {
		if err := f(e); err != nil {
			return err
		}
	}
	return nil
}

// newest returns the keys by their names. A key that is written meanwhile comes twice, and its newest revision last.
func (j *Journal) newest(ctx context.Context, bucket, pattern string) (map[string]entry, error) {
	prefix := "$KV." + bucket + "."
	consumer, err := j.js.CreateConsumer(ctx, "KV_"+bucket, jetstream.ConsumerConfig{
		FilterSubject: prefix + pattern, AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return nil, err
	}
	defer func() { // if that is lost the server does it, in a minute
		_ = j.nc.Publish("$JS.API.CONSUMER.DELETE.KV_"+bucket+"."+consumer.CachedInfo().Name, nil)
	}()
	newest := make(map[string]entry)
	n, left := uint64(0), consumer.CachedInfo().NumPending
	for left > 0 {
		batch, err := consumer.Fetch(256, jetstream.FetchMaxWait(50*time.Millisecond))
		if err != nil {
			return nil, err
		}
		before := n
		for left > 0 {
			msg, more := <-batch.Messages()
			if !more {
				break
			}
			meta, err := msg.Metadata()
			if err != nil {
				return nil, err
			}
			if n++; meta.Sequence.Consumer != n {
				return nil, errLostOnTheWay
			}
			left = meta.NumPending
			collect(newest, strings.TrimPrefix(msg.Subject(), prefix), meta.Sequence.Stream, msg)
		}
		if left > 0 && n == before { // or else what was left has been removed
			info, err := consumer.Info(ctx)
			if err != nil {
				return nil, err
			}
			if left = info.NumPending; info.Delivered.Consumer != n {
				return nil, errLostOnTheWay
			}
		}
		if left > 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return newest, nil
}

var errLostOnTheWay = errors.New("messages are lost on their way")

func collect(newest map[string]entry, key string, revision uint64, msg jetstream.Msg) {
	if msg.Headers().Get("KV-Operation") != "" { // a mark of something that is gone
		delete(newest, key)
		return
	}
	newest[key] = entry{key, revision, msg.Data()}
}

// remove removes a bucket's key if its newest revision is the given one, or an older one, and leaves no mark of it. It
// reports whether there was something to be removed. With a wildcard, and no revision, it removes all that matches.
func (j *Journal) remove(ctx context.Context, kv jetstream.KeyValue, key string, revision uint64) (bool, error) {
	request := map[string]any{"filter": "$KV." + kv.Bucket() + "." + key}
	if revision > 0 {
		request["seq"] = revision + 1
	}
	text, err := json.Marshal(request)
	if err != nil {
		return false, err
	}
	ctx, cancel := j.patiently(ctx, patience)
	defer cancel()
	msg, err := j.nc.RequestWithContext(ctx, "$JS.API.STREAM.PURGE.KV_"+kv.Bucket(), text)
	if err != nil {
		return false, because(ctx, err)
	}
	var answer struct {
		Error  *jetstream.APIError `json:"error"`
		Purged int                 `json:"purged"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return false, fmt.Errorf("purge of bucket %s: the answer is no JSON", kv.Bucket())
	}
	if answer.Error != nil {
		return false, answer.Error
	}
	return answer.Purged > 0, nil
}

// changedMeanwhile reports whether a bucket has refused to change a key because its revision is another.
func changedMeanwhile(err error) bool {
	api, is := errors.AsType[*jetstream.APIError](err)
	return is && (api.ErrorCode == 10071 || api.ErrorCode == 10164) || errors.Is(err, jetstream.ErrKeyExists)
}
