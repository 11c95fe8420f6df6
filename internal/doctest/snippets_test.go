package doctest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// snippet is a block of Go in a Markdown file.
type snippet struct {
	path string // of the file, relative to the root
	line int    // of its first line
	text string
	// output is the text block that follows, what a program prints; expected says
	// that there is one.
	output   string
	expected bool
}

func (s *snippet) program() bool { return strings.HasPrefix(s.text, "package main\n") }

// snippets returns the blocks of Go in a text. A block of the language "text"
// that follows one of them, before any other block, is its output.
func snippets(path, markdown string) []snippet {
	var out []snippet
	var current *strings.Builder
	var language string
	var begins int
	last := "" // language of the block before
	for n, line := range strings.SplitAfter(markdown, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(trimmed, "```") && current == nil:
			language = strings.TrimPrefix(trimmed, "```")
			current, begins = new(strings.Builder), n+2
		case trimmed == "```":
			switch {
			case language == "go":
				out = append(out, snippet{path: path, line: begins, text: current.String()})
			case language == "text" && last == "go":
				out[len(out)-1].output, out[len(out)-1].expected = current.String(), true
			}
			current, last = nil, language
		case current != nil:
			current.WriteString(line)
		}
	}
	return out
}

// imports are what a fragment may use without saying so.
var imports = map[string]string{
	"leat":     "github.com/leatlog/leat",
	"leattest": "github.com/leatlog/leat/leattest",
	"context":  "context",
	"errors":   "errors",
	"fmt":      "fmt",
	"net":      "net",
	"os":       "os",
	"signal":   "os/signal",
	"slog":     "log/slog",
	"time":     "time",
	"tls":      "crypto/tls",
}

// fragmentsFile puts fragments into one file, each as the body of a function that
// has a ctx and a log. Errors of the compiler name the Markdown file.
func fragmentsFile(fragments []snippet) string {
	used := map[string]bool{"leat": true, "context": true}
	var body strings.Builder
	for i, f := range fragments {
		for name := range imports {
			if regexp.MustCompile(`\b` + name + `\.`).MatchString(f.text) {
				used[name] = true
			}
		}
		fmt.Fprintf(&body, "\nfunc fragment%d(ctx context.Context, log *leat.Log) error {\n//line %s:%d\n%s\n//line generated:1\n\treturn nil\n}\n",
			i, f.path, f.line, f.text)
	}
	var file strings.Builder
	file.WriteString("package fragments\n\nimport (\n")
	for name := range used {
		fmt.Fprintf(&file, "\t%q\n", imports[name])
	}
	return file.String() + ")\n" + body.String()
}

// TestSnippets compiles every block of Go in the Markdown files. One that is a
// program is run, in an empty directory, and prints what the text block behind it
// says. Others are bodies of functions.
func TestSnippets(t *testing.T) {
	absolute, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	var fragments []snippet
	programs := 0
	err = walkMarkdown(func(path string) error {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		for _, s := range snippets(name, string(text)) {
			if !s.program() {
				fragments = append(fragments, s)
				continue
			}
			programs++
			t.Run(fmt.Sprintf("%s:%d", name, s.line), func(t *testing.T) { runProgram(t, absolute, s) })
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if programs == 0 {
		t.Error("no Markdown file has a program")
	}
	if len(fragments) > 0 {
		t.Run("fragments", func(t *testing.T) {
			if out, err := build(t, absolute, os.DevNull, fragmentsFile(fragments)); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// build compiles a file of source within the module.
func build(t *testing.T, module, output, source string) ([]byte, error) {
	file := filepath.Join(t.TempDir(), "snippet.go")
	if err := os.WriteFile(file, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", output, file)
	cmd.Dir = module
	return cmd.CombinedOutput()
}

func runProgram(t *testing.T, module string, s snippet) {
	if !s.expected {
		t.Fatal("a program needs a text block behind it with what it prints")
	}
	program := filepath.Join(t.TempDir(), "program.exe")
	if out, err := build(t, module, program, fmt.Sprintf("//line %s:%d\n%s", s.path, s.line, s.text)); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Dir = t.TempDir()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, stderr.Bytes())
	}
	if string(out) != s.output {
		t.Errorf("it prints\n%s, the text says\n%s", out, s.output)
	}
}

func TestSnippetsOfText(t *testing.T) {
	const text = "a\n```go\npackage main\n```\nprints\n```text\nout\n```\n```text\nnot its\n```\n```go\nx := 1\n```\n```sh\nls\n```\n```text\nof sh\n```\n"
	got := snippets("a.md", text)
	want := []snippet{
		{path: "a.md", line: 3, text: "package main\n", output: "out\n", expected: true},
		{path: "a.md", line: 13, text: "x := 1\n"},
	}
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
