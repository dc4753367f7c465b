//go:build race

package jitney_test

const raceEnabled = true
