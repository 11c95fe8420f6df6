package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// workshop is where clients are installed and built.
type workshop struct {
	ctx   context.Context
	dir   string // clients/ of the repository
	cache string // clients/.cache
	out   io.Writer
}

func newWorkshop(ctx context.Context, out io.Writer) (*workshop, error) {
	wd, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(wd)
	if _, err := os.Stat(filepath.Join(dir, "scenario", "go.mod")); err != nil {
		return nil, fmt.Errorf("run this in clients/run: %w", err)
	}
	w := &workshop{ctx: ctx, dir: dir, cache: filepath.Join(dir, ".cache"), out: out}
	return w, os.MkdirAll(filepath.Join(w.cache, "bin"), 0o755)
}

// path is one below clients/.
func (w *workshop) path(elem ...string) string {
	return filepath.Join(append([]string{w.dir}, elem...)...)
}

// cached is a path below the cache.
func (w *workshop) cached(elem ...string) string {
	return filepath.Join(append([]string{w.cache}, elem...)...)
}

// do runs a command and shows its output only if it fails.
func (w *workshop) do(dir string, args ...string) error {
	cmd := exec.CommandContext(w.ctx, args[0], args[1:]...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// goProgram builds the module in a directory.
func goProgram(dir string) func(*workshop) error {
	return func(w *workshop) error {
		return w.do(w.path(dir), "go", "build", "-o", w.cached("bin", dir), ".")
	}
}

// binary is the command that goProgram has built.
func binary(name string) func(*workshop) []string {
	return func(w *workshop) []string { return []string{w.cached("bin", name)} }
}
