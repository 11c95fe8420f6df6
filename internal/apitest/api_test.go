package apitest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/api.txt")

const (
	module  = "github.com/leatlog/leat"
	root    = "../.."
	listing = root + "/docs/api.txt"
)

func TestAPI(t *testing.T) {
	got, err := render(root, module)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(listing, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(listing)
	if err != nil {
		t.Fatal(err)
	}
	if diff := lineDiff(string(want), got); diff != "" {
		t.Errorf("the exported API is not what docs/api.txt says; if that is meant, run\n\n"+
			"\tgo test ./internal/apitest -update\n\nand commit the file with the change:\n%s", diff)
	}
}

// lineDiff returns the lines that only one of the texts has, by how often it
// has them; it is "" for equal texts alone.
func lineDiff(want, got string) string {
	if want == got {
		return ""
	}
	surplus := make(map[string]int)
	for line := range strings.Lines(got) {
		surplus[line]++
	}
	for line := range strings.Lines(want) {
		surplus[line]--
	}
	var b strings.Builder
	mark := func(text, sign string, which func(int) bool, step int) {
		for line := range strings.Lines(text) {
			if which(surplus[line]) {
				surplus[line] += step
				fmt.Fprintf(&b, "%s %s\n", sign, strings.TrimSuffix(line, "\n"))
			}
		}
	}
	mark(want, "-", func(n int) bool { return n < 0 }, 1)
	mark(got, "+", func(n int) bool { return n > 0 }, -1)
	if b.Len() == 0 {
		return "  the same lines in another order\n"
	}
	return b.String()
}

func TestLineDiff(t *testing.T) {
	for _, tt := range []struct{ want, got, diff string }{
		{"a\nb\n", "a\nb\n", ""},
		{"a\nb\n", "a\nc\n", "- b\n+ c\n"},
		{"a\n", "a\na\n", "+ a\n"},
		{"a\nb\n", "b\na\n", "  the same lines in another order\n"},
	} {
		if diff := lineDiff(tt.want, tt.got); diff != tt.diff {
			t.Errorf("lineDiff(%q, %q) = %q, want %q", tt.want, tt.got, diff, tt.diff)
		}
	}
}

func TestRender(t *testing.T) {
	dir := t.TempDir()
	for path, src := range map[string]string{
		"a.go": `// Package m is not seen.
package m

import leaf "example.org/m/internal/leaf"

// C is documented.
const C, hidden = 1, 2

const (
	D Kind = iota
	E
)

type Kind int

// String is a method.
func (k Kind) String() string { return "x" }

func (k Kind) hidden() {}

// S has fields.
type S struct {
	// A is documented.
	A int // so is this
	b int
	Kind
}

func NewS(a int) (*S, error) { return nil, nil }

func (*S) Close() error { return nil }

type I interface {
	M(x int) error
	hidden()
}

type Clock = leaf.Clock

type G[T any] struct{ F T }

func Top() {}

func private() {}
`,
		"a_test.go":             "package m\n\nfunc Exported() {}\n",
		"a_nowhere.go":          "//go:build nowhere\n\npackage m\n\nfunc Nowhere() {}\n",
		"internal/leaf/leaf.go": "package leaf\n\nimport \"time\"\n\ntype Clock interface{ Now() time.Time }\n\ntype Other int\n",
		"sub/s.go":              "package sub\n\nvar V = 1\n",
		"cmd/x/main.go":         "package main\n\nfunc Main() {}\n",
		"examples/e/main.go":    "package main\n\nfunc Main() {}\n",
		"testdata/t.go":         "package testdata\n\nfunc T() {}\n",
		"other/go.mod":          "module example.org/other\n",
		"other/o.go":            "package other\n\nfunc O() {}\n",
		"docs/d.md":             "",
	} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(src), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := render(dir, "example.org/m")
	if err != nil {
		t.Fatal(err)
	}
	want := `package m // import "example.org/m"

const C, _ = 1, 2

func Top()

type Clock = leaf.Clock
	// of example.org/m/internal/leaf
	type Clock interface{ Now() time.Time }

type G[T any] struct{ F T }

type I interface {
	M(x int) error
	// contains filtered or unexported methods
}

type Kind int
	const (
		D Kind = iota
		E
	)
	func (k Kind) String() string

type S struct {
	A int
	Kind
	// contains filtered or unexported fields
}
	func NewS(a int) (*S, error)
	func (*S) Close() error

package sub // import "example.org/m/sub"

var V = 1
`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s\n%s", got, want, lineDiff(want, got))
	}
}
