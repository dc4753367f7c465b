package jitney_test

import (
	"bytes"
	"flag"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var updateSurface = flag.Bool("update", false, "write testdata/*.txt down anew")

// TestSurface compares what each package exports with what is written down, so that a change to it is
// seen in review.
func TestSurface(t *testing.T) {
	for dir, file := range map[string]string{".": "api", "bridge": "bridge", "deadletter": "deadletter", "flowmap": "flowmap", "jitneytest": "jitneytest", "middleware": "middleware", "wire": "wire", "sqljournal": "sqljournal", "sqljournal/sqlite": "sqlite", "kafkajournal": "kafkajournal", "natsjournal": "natsjournal", "natsjournal/embedded": "natsembedded", "why": "why"} {
		t.Run(file, func(t *testing.T) {
			path := filepath.Join("testdata", file+".txt")
			got := strings.Join(surface(t, dir), "\n") + "\n"
			if *updateSurface {
				require.NoError(t, os.MkdirAll("testdata", 0o755))
				require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
			}
			want, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.Equal(t, string(want), got, "if the change is meant: go test -run TestSurface -update .")
		})
	}
}

// surface returns dir's exported declarations, without bodies and comments, sorted.
func surface(t *testing.T, dir string) (lines []string) {
	t.Helper()
	files := token.NewFileSet()
	notTest := func(info fs.FileInfo) bool { return !strings.HasSuffix(info.Name(), "_test.go") }
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, entry := range entries {
		info, err := entry.Info()
		require.NoError(t, err)
		if filepath.Ext(info.Name()) != ".go" || !notTest(info) {
			continue
		}
		f, err := parser.ParseFile(files, filepath.Join(dir, info.Name()), nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		if !ast.FileExports(f) {
			continue
		}
		for _, d := range f.Decls {
			if exportedMethod(d) {
				lines = append(lines, declaration(t, files, d)...)
			}
		}
	}
	slices.Sort(lines)
	return lines
}

// exportedMethod reports whether d is anything but a method of an unexported type.
func exportedMethod(d ast.Decl) bool {
	f, ok := d.(*ast.FuncDecl)
	if !ok || f.Recv == nil {
		return true
	}
	typ := f.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	name, ok := typ.(*ast.Ident)
	return !ok || name.IsExported()
}

func declaration(t *testing.T, files *token.FileSet, d ast.Decl) []string {
	t.Helper()
	switch d := d.(type) {
	case *ast.FuncDecl:
		d.Body = nil
		return []string{text(t, files, d)}
	case *ast.GenDecl:
		if d.Tok == token.IMPORT {
			return nil
		}
		var lines []string
		for _, spec := range d.Specs {
			if v, ok := spec.(*ast.ValueSpec); ok && d.Tok == token.VAR && v.Type == nil {
				v.Values = nil // an error's text is not the surface
				for _, name := range v.Names {
					lines = append(lines, "var "+name.Name)
				}
				continue
			}
			lines = append(lines, d.Tok.String()+" "+text(t, files, spec))
		}
		return lines
	}
	return nil
}

func text(t *testing.T, files *token.FileSet, node any) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, (&printer.Config{Mode: printer.UseSpaces, Tabwidth: 4}).Fprint(&b, files, node))
	return b.String()
}
