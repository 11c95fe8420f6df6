package doctest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

const root = "../.."

func TestLinks(t *testing.T) {
	err := walkMarkdown(func(path string) error {
		problems, err := check(path)
		for _, p := range problems {
			t.Error(p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// walkMarkdown calls fn for every Markdown file of the repository.
func walkMarkdown(fn func(path string) error) error {
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // another test's, gone meanwhile
			return nil
		}
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ".md" {
			return nil
		}
		files++
		return fn(path)
	})
	if err == nil && files == 0 {
		return errors.New("no Markdown below the root of the repository")
	}
	return err
}

var (
	link    = regexp.MustCompile(`\]\(<?([^)\s>]+)>?(?:\s+"[^"]*")?\)`)
	code    = regexp.MustCompile("`[^`]*`")
	outside = regexp.MustCompile(`^[a-z][a-z0-9+.-]*:`)
)

// check returns what is wrong with the links of the Markdown file at path.
func check(path string) ([]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var problems []string
	for n, line := range prose(string(text)) {
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(line, ""), -1) {
			if why := broken(path, m[1]); why != "" {
				problems = append(problems, fmt.Sprintf("%s:%d: the link to %s leads nowhere: %s", path, n, m[1], why))
			}
		}
	}
	return problems, nil
}

// broken says why target, a link in the file at from, leads nowhere, and ""
// when it leads somewhere or out of the repository.
func broken(from, target string) string {
	if outside.MatchString(target) {
		return ""
	}
	file, fragment, _ := strings.Cut(target, "#")
	path := from
	if file != "" {
		path = filepath.Join(filepath.Dir(from), filepath.FromSlash(file))
	}
	if _, err := os.Stat(path); err != nil {
		return err.Error()
	}
	if fragment == "" || filepath.Ext(path) != ".md" {
		return ""
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	for _, line := range prose(string(text)) {
		if title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") && anchor(title) == fragment {
			return ""
		}
	}
	return "no such heading"
}

// prose yields the lines outside of fenced code, with their numbers from 1.
func prose(text string) func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		fenced, n := false, 0
		for line := range strings.Lines(text) {
			n++
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				fenced = !fenced
				continue
			}
			if !fenced && !yield(n, strings.TrimSpace(line)) {
				return
			}
		}
	}
}

// anchor returns the fragment by which hosts of Git repositories name a heading.
func anchor(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ' || r == '-':
			return '-'
		case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_':
			return unicode.ToLower(r)
		}
		return -1
	}, strings.TrimSpace(title))
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("other.md", "# A title, `with` code\n\n```\n# not a heading\n```\n")
	for _, tt := range []struct {
		text string
		ok   bool
	}{
		{"[a](other.md)", true},
		{"[a](other.md \"title\") and [b](https://example.org/none)", true},
		{"[a](mailto:someone@example.org)", true},
		{"[a](other.md#a-title-with-code)", true},
		{"# Here\n[a](#here)", true},
		{"`[a](none.md)`", true},
		{"```\n[a](none.md)\n```", true},
		{"[a](.)", true},
		{"[a](none.md)", false},
		{"[a](other.md) [b](none.md)", false},
		{"[a](other.md#not-a-heading)", false},
		{"[a](#nowhere)", false},
	} {
		write("it.md", tt.text)
		problems, err := check(filepath.Join(dir, "it.md"))
		if err != nil {
			t.Fatal(err)
		}
		if (len(problems) == 0) != tt.ok {
			t.Errorf("%q: problems %q, want none: %v", tt.text, problems, tt.ok)
		}
	}
}
