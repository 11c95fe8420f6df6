package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pkg is what go list -json says of a package.
type pkg struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string // direct
	Deps                               []string // direct and not, without those of tests
}

func TestImports(t *testing.T) {
	dependOnTree(t)
	pkgs := listPackages(t)
	for _, problem := range check(pkgs) {
		t.Error(problem)
	}
}

// dependOnTree reads every directory of the module, so that go test, which
// caches a result by what the test itself opened and knows nothing of what go
// list reads, runs the test again when any file changed.
func dependOnTree(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == ".git" {
			return fs.SkipDir
		}
		if errors.Is(err, fs.ErrNotExist) { // another test's, gone meanwhile
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// listPackages returns every package of the module.
func listPackages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,TestImports,XTestImports,Deps", module+"/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, stderr.Bytes())
	}
	var pkgs []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v: %v", cmd, err)
		}
		pkgs = append(pkgs, p)
	}
	if !slices.ContainsFunc(pkgs, func(p pkg) bool { return p.ImportPath == module+"/internal/archtest" }) {
		t.Fatalf("%v does not list this package, but %d others", cmd, len(pkgs))
	}
	return pkgs
}

// check returns what is wrong with pkgs by the tables of rules_test.go.
func check(pkgs []pkg) []string {
	var problems []string
	problem := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for _, p := range pkgs {
		path := local(p.ImportPath)
		layer := layerOf(path)
		if layer < 0 {
			problem("%s is in no layer: add it to layers in internal/archtest/rules_test.go, in the lowest that is above all it imports", p.ImportPath)
			continue
		}
		for _, imported := range p.Imports {
			switch {
			case !within(imported, module):
			case layerOf(local(imported)) >= layer:
				problem("%s imports %s, which is not in a layer below its own: declare the interface it needs and be given it", p.ImportPath, imported)
			case within(path, "examples") && !slices.Contains(public, local(imported)):
				problem("%s imports %s, which no user's program can", p.ImportPath, imported)
			}
			if slices.Contains(pure, path) && slices.ContainsFunc(impure, func(i string) bool { return within(imported, i) }) {
				problem("%s imports %s, and only computes: take what it needs as an argument", p.ImportPath, imported)
			}
		}
		for _, o := range owners {
			mayInTests := slices.Concat(o.from, o.inTests)
			if i := importOf(p.Imports, o.dependency); i != "" && !slices.Contains(o.from, path) {
				problem("%s imports %s, which only %v may", p.ImportPath, i, o.from)
			}
			if i := importOf(slices.Concat(p.TestImports, p.XTestImports), o.dependency); i != "" && !slices.Contains(mayInTests, path) {
				problem("the tests of %s import %s, which only those of %q may", p.ImportPath, i, mayInTests)
			}
		}
		for _, b := range banned {
			if slices.Contains(exempt[path], b) {
				continue
			}
			if i := importOf(p.Deps, b); i != "" {
				problem("%s depends on %s outside of tests", p.ImportPath, i)
			}
		}
	}
	return problems
}

// local returns the path of a package below the module.
func local(path string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path, module), "/")
}

// layerOf returns the index in layers of the package at path, or -1.
func layerOf(path string) int {
	return slices.IndexFunc(layers, func(layer []string) bool {
		return slices.ContainsFunc(layer, func(entry string) bool {
			parent, all := strings.CutSuffix(entry, "/...")
			return entry == path || (all && within(path, parent))
		})
	})
}

// importOf returns the first of imports that is dependency, a later major
// version of it, or a package below it.
func importOf(imports []string, dependency string) string {
	i := slices.IndexFunc(imports, func(i string) bool { return within(i, dependency) })
	if i < 0 {
		return ""
	}
	return imports[i]
}

// within reports whether path is parent or below it.
func within(path, parent string) bool {
	return path == parent || strings.HasPrefix(path, parent+"/")
}

// TestCheck breaks each rule and sees that check says so.
func TestCheck(t *testing.T) {
	in := func(path string) string { return strings.TrimSuffix(module+"/"+path, "/") }
	for _, tt := range []struct {
		name string
		p    pkg
		want string // part of the only problem; "" for none
	}{
		{"downwards", pkg{ImportPath: in("internal/store"), Imports: []string{in("internal/recordbatch"), in("internal/base"), "os"}}, ""},
		{"two layers down", pkg{ImportPath: module, Imports: []string{in("internal/store"), in("kafka")}}, ""},
		{"a command", pkg{ImportPath: in("cmd/leat"), Imports: []string{module}}, ""},
		{"upwards", pkg{ImportPath: in("internal/base"), Imports: []string{in("internal/store")}}, "not in a layer below"},
		{"to the root", pkg{ImportPath: in("kafka"), Imports: []string{module}}, "not in a layer below"},
		{"sideways", pkg{ImportPath: in("kafka"), Imports: []string{in("internal/coordinator")}}, "not in a layer below"},
		{"example to example", pkg{ImportPath: in("examples/a"), Imports: []string{in("examples/b")}}, "not in a layer below"},
		{"unknown", pkg{ImportPath: in("internal/misc")}, "add it to layers"},
		{"unknown below known", pkg{ImportPath: in("kafka/wire")}, "add it to layers"},
		{"example", pkg{ImportPath: in("examples/a"), Imports: []string{module, "fmt"}}, ""},
		{"example of internals", pkg{ImportPath: in("examples/a"), Imports: []string{in("internal/base")}}, "no user's program"},
		{"pure", pkg{ImportPath: in("internal/assignor"), Imports: []string{"slices", "cmp"}}, ""},
		{"clock in pure", pkg{ImportPath: in("internal/assignor"), Imports: []string{"time"}}, "only computes"},
		{"randomness in pure", pkg{ImportPath: in("internal/assignor"), Imports: []string{"math/rand/v2"}}, "only computes"},
		{"Pebble at home", pkg{ImportPath: in("internal/store"), Imports: []string{"github.com/cockroachdb/pebble/v2/vfs"}}, ""},
		{"Pebble elsewhere", pkg{ImportPath: module, Imports: []string{"github.com/cockroachdb/pebble/v2/vfs"}}, "which only [internal/store internal/faultdisk] may"},
		{"Pebble in a test of leat", pkg{ImportPath: module, XTestImports: []string{"github.com/cockroachdb/pebble/v2/vfs"}}, ""},
		{"Pebble in another's test", pkg{ImportPath: in("kafka"), TestImports: []string{"github.com/cockroachdb/pebble/v2"}}, "the tests of"},
		{"dragonboat elsewhere", pkg{ImportPath: in("raftmeta"), Imports: []string{"github.com/lni/dragonboat/v4"}}, "which only [replication] may"},
		{"another of a like name", pkg{ImportPath: module, Imports: []string{"github.com/lni/dragonboatman"}}, ""},
		{"a client, far below", pkg{ImportPath: module, Deps: []string{"github.com/twmb/franz-go/pkg/kgo/internal/sticky"}}, "outside of tests"},
		{"a client in tests", pkg{ImportPath: in("kafka"), TestImports: []string{"github.com/twmb/franz-go/pkg/kgo"}}, ""},
		{"protocol types", pkg{ImportPath: in("kafka"), Deps: []string{"github.com/twmb/franz-go/pkg/kmsg"}}, ""},
		{"a client in the command", pkg{ImportPath: in("cmd/leat"), Deps: []string{"github.com/twmb/franz-go/pkg/kgo"}}, ""},
		{"another's client in the command", pkg{ImportPath: in("cmd/leat"), Deps: []string{"github.com/nats-io/nats.go"}}, "outside of tests"},
		{"testify", pkg{ImportPath: in("leattest"), Deps: []string{"github.com/stretchr/testify/require"}}, "outside of tests"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := check([]pkg{tt.p})
			switch {
			case tt.want == "" && len(got) != 0:
				t.Errorf("got %q, want nothing", got)
			case tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)):
				t.Errorf("got %q, want one problem that says %q", got, tt.want)
			}
		})
	}
}
