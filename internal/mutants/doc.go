// Package mutants holds wrong versions of the library, each with the test that must notice. It tests the
// tests: MUTANTS=all go test ./internal/mutants, or MUTANTS=name,name for some of them.
package mutants
