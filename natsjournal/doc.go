// Package natsjournal keeps a bus's events in NATS JetStream.
package natsjournal
