// Testlog reads the events of go test -json and prints what go test prints without it: a line for
// each package as it ends, and in full what failing tests said. Below that it names every skipped test
// with its reason. A test that skips because it "needs " a server counts as failed: such servers are
// part of the gate.
//
//	go test -json ./... | go run ./internal/ci/testlog
//
// It reports nothing of go test's own exit status: let the shell's pipefail see to that.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "testlog:", err)
		os.Exit(1)
	}
}

// event is what Testlog reads of cmd/test2json's TestEvent and of cmd/go's build events.
type event struct {
	Action, Package, Test, Output string
}

func run(in io.Reader, out io.Writer) error {
	packages := map[string]*report{}
	var skipped []skip
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if e := parse(line); e.Package == "" {
			fmt.Fprint(out, e.Output)
		} else if p := at(packages, e.Package); p.add(e) {
			skipped = append(skipped, p.write(out)...)
			delete(packages, e.Package)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	for _, p := range packages { // cut off before their end
		skipped = append(skipped, p.write(out)...)
	}
	return judge(skipped, out)
}

// parse makes an event of a line. A line that is none, and what a build says, is its own output.
func parse(line []byte) event {
	var e event
	if json.Unmarshal(line, &e) != nil {
		return event{Output: string(line)}
	}
	return e
}

func at(packages map[string]*report, name string) *report {
	if packages[name] == nil {
		packages[name] = &report{name: name, ended: map[string]string{}}
	}
	return packages[name]
}

type skip struct{ test, reason string }

func judge(skipped []skip, out io.Writer) error {
	missing := 0
	for _, s := range skipped {
		fmt.Fprintf(out, "skipped: %s: %s\n", s.test, s.reason)
		if strings.HasPrefix(s.reason, "needs ") {
			missing++
		}
	}
	if missing > 0 {
		return fmt.Errorf("tests that did not find the server they need: %d", missing)
	}
	return nil
}

// report is what one package's tests have said so far, and how each of them ended.
type report struct {
	name   string
	output []event
	ended  map[string]string // by test; "" is the package
}

// add takes an event in and reports whether it was the package's last.
func (p *report) add(e event) bool {
	switch e.Action {
	case "output":
		p.output = append(p.output, e)
	case "pass", "fail", "skip":
		p.ended[e.Test] = e.Action
		return e.Test == ""
	}
	return false
}

// write prints the package's closing line, everything that failed before it, and returns its skipped tests.
func (p *report) write(out io.Writer) []skip {
	failed := p.ended[""] != "pass" && p.ended[""] != "skip"
	reasons := map[string]string{}
	var skipped []skip
	for _, e := range p.output {
		switch how := p.ended[e.Test]; {
		case e.Test == "" && (failed || closing.MatchString(e.Output)):
			fmt.Fprint(out, e.Output)
		case e.Test == "" || how == "pass" || strings.HasPrefix(e.Output, "=== "):
		case how != "skip":
			fmt.Fprint(out, e.Output) // failed, or was running when its package died
		case place.MatchString(e.Output):
			reasons[e.Test] = strings.TrimSpace(place.ReplaceAllString(e.Output, "")) // the last one is Skip's
		case strings.HasPrefix(strings.TrimSpace(e.Output), "--- SKIP"):
			skipped = append(skipped, skip{p.name + "." + e.Test, reasons[e.Test]})
		}
	}
	return skipped
}

var (
	closing = regexp.MustCompile(`^(ok|\?|---) *\t`)
	place   = regexp.MustCompile(`^\s*\S+\.go:\d+: `)
)
