// Package kafkajournal keeps a bus's events in Kafka: [jitney.Journal] on a topic.
package kafkajournal
