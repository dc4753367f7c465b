package kafkajournal

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// table is a compacted topic of one partition, all of which is in memory: the newest value of each key.
type table struct {
	topic    string
	producer *kgo.Client
	admin    *kadm.Client
	reader   *kgo.Client
	log      *slog.Logger
	stopped  chan struct{}

	mu    sync.Mutex
	rows  map[string][]byte
	next  int64         // the offset to read next
	grown chan struct{} // closed when next rises
}

func openTable(j *Journal, topic string) (*table, error) {
	reader, err := kgo.NewClient(j.options(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}), kgo.KeepControlRecords(),
	)...)
	if err != nil {
		return nil, err
	}
	t := &table{
		topic: topic, producer: j.producer, admin: j.admin, reader: reader, log: j.log, stopped: make(chan struct{}),
		rows: make(map[string][]byte), grown: make(chan struct{}),
	}
	go t.run()
	return t, nil
}

// run reads what is written, by whomever.
func (t *table) run() {
	defer close(t.stopped)
	for failures := 1; ; {
		fetches := t.reader.PollFetches(context.Background())
		if fetches.IsClientClosed() {
			return
		}
		fetches.EachError(func(_ string, _ int32, err error) {
			if failures&(failures-1) == 0 {
				t.log.Error("kafkajournal: a table cannot be read, will try again", slog.String("topic", t.topic), slog.String("error", err.Error()))
			}
			failures++
		})
		t.take(fetches.Records())
	}
}

func (t *table) take(records []*kgo.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range records {
		t.next = max(t.next, r.Offset+1)
		key := string(r.Key)
		switch _, there := t.rows[key]; {
		case r.Attrs.IsControl():
		case r.Value == nil:
			delete(t.rows, key)
		case !there || !strings.HasPrefix(key, births):
			t.rows[key] = r.Value
		}
	}
	close(t.grown)
	t.grown = make(chan struct{})
}

// sync waits until all has been read that was there when it was called.
func (t *table) sync(ctx context.Context) error {
	list, err := t.admin.ListEndOffsets(ctx, t.topic)
	ends, err := offsets(t.topic, list, err)
	if err != nil {
		return fmt.Errorf("end of %s: %w", t.topic, err)
	}
	for {
		t.mu.Lock()
		next, grown := t.next, t.grown
		t.mu.Unlock()
		if next >= ends.at(0) {
			return nil
		}
		select {
		case <-grown:
		case <-t.stopped:
			return ErrClosed
		case <-ctx.Done():
			return fmt.Errorf("read %s: %w", t.topic, context.Cause(ctx))
		}
	}
}

// put writes rows, in the order of their keys; nil removes one. They are read when sync says so. After an error some may
// be written, or will be: before whatever is put later.
func (t *table) put(ctx context.Context, rows map[string][]byte) error {
	var records []*kgo.Record
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		records = append(records, &kgo.Record{Topic: t.topic, Key: []byte(key), Value: rows[key]})
	}
	if len(records) == 0 {
		return nil
	}
	if err := produce(ctx, t.producer, records...); err != nil {
		return fmt.Errorf("write %s: %w", t.topic, err)
	}
	return nil
}

// get returns a row, or nil.
func (t *table) get(key string) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rows[key]
}

// with returns the keys that begin with prefix.
func (t *table) with(prefix string) (keys []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key := range t.rows {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	return keys
}

func (t *table) close() {
	t.reader.Close()
	<-t.stopped
}
