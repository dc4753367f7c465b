//go:build !race

package oteltest

const raceEnabled = false
