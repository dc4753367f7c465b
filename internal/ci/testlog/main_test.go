package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const passing = `{"Action":"start","Package":"p"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"=== RUN   TestB\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:7: only on a Tuesday\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:9: chatter\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"--- PASS: TestA (0.00s)\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB","Output":"--- SKIP: TestB (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Output":"PASS\n"}
{"Action":"output","Package":"p","Output":"ok  \tp\t1.017s\n"}
{"Action":"pass","Package":"p"}
`

func TestPackagesPrintTheirLineAndSkipsTheirReason(t *testing.T) {
	out, err := testlog(passing)
	require.NoError(t, err)
	assert.Equal(t, "ok  \tp\t1.017s\nskipped: p.TestB: only on a Tuesday\n", out)
}

func TestAMissingServerFails(t *testing.T) {
	out, err := testlog(strings.ReplaceAll(passing, "only on a Tuesday", `needs postgres at :5432\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"        as the README says`))
	require.EqualError(t, err, "tests that did not find the server they need: 1")
	assert.Contains(t, out, "skipped: p.TestB: needs postgres at :5432\n")
}

func TestAFailingPackagePrintsWhatFailed(t *testing.T) {
	out, err := testlog(`{"Action":"output","Package":"p","Output":"-test.shuffle 42\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:9: chatter\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestC","Output":"    c_test.go:5: two is three\n"}
{"Action":"output","Package":"p","Test":"TestC","Output":"--- FAIL: TestC (0.00s)\n"}
{"Action":"fail","Package":"p","Test":"TestC"}
{"Action":"output","Package":"p","Test":"TestD","Output":"still running\n"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}
{"Action":"fail","Package":"p"}
`)
	require.NoError(t, err, "go test itself has failed")
	assert.Equal(t, "-test.shuffle 42\n    c_test.go:5: two is three\n--- FAIL: TestC (0.00s)\nstill running\nFAIL\tp\t0.1s\n", out)
}

func TestBuildErrorsAndPlainLinesPassThrough(t *testing.T) {
	out, err := testlog("go: downloading\n" + `{"ImportPath":"p","Action":"build-output","Output":"p.go:1: no\n"}`)
	require.NoError(t, err)
	assert.Equal(t, "go: downloading\np.go:1: no\n", out)
}

func TestACutOffStreamLosesNothing(t *testing.T) {
	out, err := testlog(`{"Action":"output","Package":"p","Test":"TestA","Output":"here I was\n"}`)
	require.NoError(t, err)
	assert.Equal(t, "here I was\n", out)
}

func testlog(events string) (string, error) {
	var out strings.Builder
	err := run(strings.NewReader(events), &out)
	return out.String(), err
}
