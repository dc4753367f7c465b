package kafkajournal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/jitney-go/jitney"
)

// settings are those that a topic is made with.
type settings map[string]*string

const (
	cleanup        = "cleanup.policy"
	minInSync      = "min.insync.replicas"
	unclean        = "unclean.leader.election.enable"
	retentionTime  = "retention.ms"
	retentionBytes = "retention.bytes"
	maxMessage     = "max.message.bytes"
)

// roomForEvent is what a topic that is made takes in one batch: an event as large as package wire allows.
const roomForEvent = 2 << 20

// prepare makes the topics that are missing, and looks at their settings.
func (j *Journal) prepare(ctx context.Context) error {
	inSync := strconv.Itoa(max(min(j.replication, 2), 1))
	kept := "-1"
	if j.retention > 0 {
		kept = strconv.FormatInt(j.retention.Milliseconds(), 10)
	}
	common := func(s settings) settings {
		s[minInSync], s[unclean], s[maxMessage] = &inSync, kadm.StringPtr("false"), kadm.StringPtr(strconv.Itoa(roomForEvent))
		return s
	}
	log := common(settings{cleanup: kadm.StringPtr("delete"), retentionTime: &kept, retentionBytes: kadm.StringPtr("-1")})
	table := common(settings{cleanup: kadm.StringPtr("compact")})
	if err := errors.Join(j.make(ctx, j.topic, j.partitions, log), j.make(ctx, j.topic+placesSuffix, 1, table)); err != nil {
		return err
	}
	bad, err := j.inspectPatiently(ctx)
	switch {
	case err != nil:
		return err
	case len(bad) == 0:
		return nil
	case !j.allowNotDurable:
		return fmt.Errorf("%w: %s", jitney.ErrNotDurable, strings.Join(bad, "; "))
	}
	j.log.Warn("kafkajournal: the settings may lose events", slog.String("topic", j.topic), slog.Any("settings", bad))
	return nil
}

// make makes a topic if it is missing.
func (j *Journal) make(ctx context.Context, topic string, partitions int, s settings) error {
	details, err := j.admin.ListTopics(ctx, topic)
	if err == nil && errors.Is(details[topic].Err, kerr.UnknownTopicOrPartition) {
		_, err = j.admin.CreateTopic(ctx, int32(partitions), int16(j.replication), s, topic)
	}
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("make topic %s: %w", topic, err)
	}
	return nil
}

// inspectPatiently is inspect, again while some broker does not know yet of topics that have just been made.
func (j *Journal) inspectPatiently(ctx context.Context) (bad []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		bad, err = j.inspect(ctx)
		if !errors.Is(err, kerr.UnknownTopicOrPartition) || ctx.Err() != nil {
			return bad, err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// inspect says what of the topics' settings may lose an event.
func (j *Journal) inspect(ctx context.Context) (bad []string, err error) {
	places := j.topic + placesSuffix
	configs, err := j.admin.DescribeTopicConfigs(ctx, j.topic, places)
	if err != nil {
		return nil, err
	}
	details, err := j.admin.ListTopics(ctx, j.topic, places)
	if err != nil {
		return nil, err
	}
	for _, topic := range []string{j.topic, places} {
		rc, err := configs.On(topic, nil)
		if err == nil {
			err = errors.Join(rc.Err, details[topic].Err)
		}
		if err != nil {
			return nil, fmt.Errorf("settings of topic %s: %w", topic, err)
		}
		for _, what := range j.faults(topic == places, values(rc), details[topic].Partitions) {
			bad = append(bad, topic+" has "+what)
		}
		if topic == j.topic {
			j.topicID = details[topic].ID
			j.maxMessage = min(number(values(rc)[maxMessage], 1_000_000), 64<<20)
		}
	}
	return bad, nil
}

func values(rc kadm.ResourceConfig) map[string]string {
	m := make(map[string]string, len(rc.Configs))
	for _, c := range rc.Configs {
		m[c.Key] = c.MaybeValue()
	}
	return m
}

func number(text string, otherwise int) int {
	if n, err := strconv.Atoi(text); err == nil && n > 0 {
		return n
	}
	return otherwise
}

// faults are the settings of a topic that may lose what is in it.
func (j *Journal) faults(table bool, s map[string]string, partitions kadm.PartitionDetails) (bad []string) {
	if n := partitions.NumReplicas(); n < 2 {
		bad = append(bad, fmt.Sprintf("replication factor %d", n))
	}
	if number(s[minInSync], 1) < 2 {
		bad = append(bad, minInSync+" "+s[minInSync])
	}
	if s[unclean] == "true" {
		bad = append(bad, unclean+" true")
	}
	compacts := strings.Contains(s[cleanup], "compact")
	deletes := strings.Contains(s[cleanup], "delete")
	if compacts != table || table && deletes {
		bad = append(bad, cleanup+" "+s[cleanup])
	}
	if table {
		return bad
	}
	if ms, err := strconv.ParseInt(s[retentionTime], 10, 64); err != nil || ms >= 0 && (j.retention <= 0 || ms < j.retention.Milliseconds()) {
		bad = append(bad, retentionTime+" "+s[retentionTime])
	}
	if b := s[retentionBytes]; b != "-1" {
		bad = append(bad, retentionBytes+" "+b)
	}
	return bad
}
