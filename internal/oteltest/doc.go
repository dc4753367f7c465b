// Package oteltest tests the bus's spans and measurements with OpenTelemetry's SDK. It is a module of its
// own, so that the SDK stays out of the bus's go.mod.
package oteltest
