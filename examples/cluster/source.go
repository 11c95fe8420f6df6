package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// sourceFile is a file whose lines are published.
type sourceFile struct {
	name  string // relative, with slashes: the key of its records
	lines [][]byte
}

// loadSource reads every .go file below src/net of the Go installation.
func loadSource() ([]sourceFile, error) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOROOT: %w", err)
	}
	root := filepath.Join(strings.TrimSpace(string(out)), "src", "net")
	var files []sourceFile
	err = fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) != ".go" {
			return err
		}
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		files = append(files, sourceFile{name: name, lines: splitLines(text)})
		return nil
	})
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("no .go file below %s", root)
	}
	return files, err
}

// splitLines returns the lines without their ends. No line is nil, so that an
// empty one is a record with an empty value and not a tombstone.
func splitLines(text []byte) [][]byte {
	var lines [][]byte
	for line := range bytes.Lines(text) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		lines = append(lines, line[:len(line):len(line)])
	}
	return lines
}
