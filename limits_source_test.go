package tgtrunk_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// source finds limits in the code of the house, without building it, so that those count too that no package shows.
type source struct {
	t     *testing.T
	files *token.FileSet
	rooms map[string][]*ast.File // by folder; tests left out
}

func newSource(t *testing.T) *source { return &source{t, token.NewFileSet(), map[string][]*ast.File{}} }

func (s *source) room(folder string) []*ast.File {
	s.t.Helper()
	if files, known := s.rooms[folder]; known {
		return files
	}
	var files []*ast.File
	names, err := fs.Glob(os.DirFS(folder), "*.go")
	if err != nil || len(names) == 0 {
		s.t.Fatalf("no code in %s: %v", folder, err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(s.files, filepath.Join(folder, name), nil, parser.SkipObjectResolution)
		if err != nil {
			s.t.Fatal(err)
		}
		files = append(files, f)
	}
	s.rooms[folder] = files
	return files
}

func (s *source) text(n ast.Node) string {
	var b bytes.Buffer
	if err := printer.Fprint(&b, s.files, n); err != nil {
		s.t.Fatal(err)
	}
	return b.String()
}

// limit returns the value that a folder's code has for a name: the constant so called, or the default that is given to a
// field, as in setDefault(&a.Timeout, 5*time.Second) for "a.Timeout".
func (s *source) limit(folder, name string) figure {
	s.t.Helper()
	var found []figure
	for _, f := range s.room(folder) {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				for i, ident := range n.Names {
					if ident.Name == name && i < len(n.Values) {
						found = append(found, s.value(folder, n.Values[i]))
					}
				}
			case *ast.CallExpr:
				if called := s.text(n.Fun); called == "setDefault" || called == "atLeast" || called == "cmp.Or" {
					if len(n.Args) == 2 && strings.TrimPrefix(s.text(n.Args[0]), "&") == name {
						found = append(found, s.value(folder, n.Args[1]))
					}
				}
			case *ast.CompositeLit: // {&l.Calls, Bucket{4, time.Hour}}
				if len(n.Elts) == 2 && s.text(n.Elts[0]) == "&"+name {
					found = append(found, s.value(folder, n.Elts[1]))
				}
			}
			return true
		})
	}
	if len(found) != 1 {
		s.t.Fatalf("%s has %d limits of the name %s: the table in limits_test.go must name one", folder, len(found), name)
	}
	return found[0]
}

// span returns what the configuration accepts for a field: the bounds in c.duration(way, a.Timeout, least, most) for
// "a.Timeout".
func (s *source) span(field string) (least, most figure) {
	s.t.Helper()
	found := 0
	for _, f := range s.room("config") {
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 4 || s.text(call.Args[1]) != field {
				return true
			}
			if checks := s.text(call.Fun); checks == "c.duration" || checks == "c.count" {
				found++
				least, most = s.value("config", call.Args[2]), s.value("config", call.Args[3])
			}
			return true
		})
	}
	if found != 1 {
		s.t.Fatalf("the configuration checks %s %d times: the table in limits_test.go must name one", field, found)
	}
	return least, most
}

var timeUnits = map[string]time.Duration{
	"Millisecond": time.Millisecond, "Second": time.Second, "Minute": time.Minute, "Hour": time.Hour,
}

// value works out what an expression of a folder's code is.
func (s *source) value(folder string, e ast.Expr) figure {
	s.t.Helper()
	switch e := e.(type) {
	case *ast.BasicLit:
		return figure{value: constant.MakeFromLiteral(e.Value, e.Kind, 0)}
	case *ast.ParenExpr:
		return s.value(folder, e.X)
	case *ast.UnaryExpr:
		x := s.value(folder, e.X)
		x.value = constant.UnaryOp(e.Op, x.value, 0)
		return x
	case *ast.Ident:
		return s.limit(folder, e.Name)
	case *ast.SelectorExpr:
		if unit, ok := timeUnits[e.Sel.Name]; ok && s.text(e.X) == "time" {
			return figure{value: constant.MakeInt64(int64(unit)), time: true}
		}
		return s.limit(s.text(e.X), e.Sel.Name) // a package at the root, as routing
	case *ast.BinaryExpr:
		x, y := s.value(folder, e.X), s.value(folder, e.Y)
		if e.Op == token.SHL || e.Op == token.SHR {
			n, _ := constant.Uint64Val(y.value)
			return figure{value: constant.Shift(x.value, e.Op, uint(n))}
		}
		return figure{value: constant.BinaryOp(x.value, e.Op, y.value), time: x.time || y.time}
	case *ast.CompositeLit: // Bucket{4, time.Hour}
		if s.text(e.Type) == "Bucket" && len(e.Elts) == 2 {
			count, per := s.value(folder, e.Elts[0]), s.value(folder, e.Elts[1])
			return figure{value: count.value, per: per.value}
		}
	}
	s.t.Fatalf("%s: what %s is cannot be worked out", s.files.Position(e.Pos()), s.text(e))
	return figure{}
}

// figure is a number, a time, or so many in a time.
type figure struct {
	value constant.Value // a time in nanoseconds
	time  bool
	per   constant.Value // nil, or a time
}

// in writes the figure, a number with its unit.
func (f figure) in(unit string) string {
	n, _ := constant.Int64Val(f.value)
	switch {
	case f.per != nil:
		per, _ := constant.Int64Val(f.per)
		return fmt.Sprintf("%d in %s", n, span(time.Duration(per)))
	case f.time:
		return span(time.Duration(n))
	case unit == "bytes":
		return size(n)
	case unit == "":
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d %s", n, unit)
}

// span writes a time with the largest unit that divides it.
func span(d time.Duration) string {
	for _, u := range []struct {
		of   time.Duration
		name string
	}{{24 * time.Hour, "days"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}, {time.Millisecond, "ms"}} {
		if d%u.of == 0 && (d >= 2*u.of || d == u.of && u.of < 24*time.Hour) {
			return fmt.Sprintf("%d %s", d/u.of, u.name)
		}
	}
	return d.String()
}

func size(n int64) string {
	for _, u := range []struct {
		of   int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.of && n%u.of == 0 {
			return fmt.Sprintf("%d %s", n/u.of, u.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

func TestSpansAreReadable(t *testing.T) {
	for d, want := range map[time.Duration]string{
		24 * time.Hour: "24 h", 48 * time.Hour: "2 days", 90 * time.Minute: "90 min", 90 * time.Second: "90 s", time.Minute: "1 min",
		1500 * time.Millisecond: "1500 ms", time.Hour: "1 h", 0: "0s", 18 * time.Second: "18 s",
	} {
		if got := span(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int64]string{4 << 20: "4 MiB", 256 << 10: "256 KiB", 1024: "1 KiB", 80: "80 bytes"} {
		if got := size(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
