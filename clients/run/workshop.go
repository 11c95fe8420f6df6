package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
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

// once calls install if one of the inputs, files or directories, has changed since it
// last succeeded.
func (w *workshop) once(name string, inputs []string, install func() error) error {
	sum, err := digest(inputs)
	if err != nil {
		return err
	}
	stamp := w.cached(name + ".stamp")
	if was, err := os.ReadFile(stamp); err == nil && string(was) == sum {
		return nil
	}
	fmt.Fprintf(w.out, "== installing %s\n", name)
	if err := os.Remove(stamp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := install(); err != nil {
		return fmt.Errorf("install %s: %w", name, err)
	}
	return os.WriteFile(stamp, []byte(sum), 0o644)
}

func digest(inputs []string) (string, error) {
	h := sha256.New()
	for _, in := range inputs {
		err := filepath.WalkDir(in, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			fmt.Fprintf(h, "%s %d\n", path, len(b))
			h.Write(b)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// apt installs packages of Debian for what is missing, a command or a file.
func (w *workshop) apt(missing string, packages ...string) error {
	if filepath.IsAbs(missing) {
		if _, err := os.Stat(missing); err == nil {
			return nil
		}
	} else if _, err := exec.LookPath(missing); err == nil {
		return nil
	}
	fmt.Fprintf(w.out, "== installing %s\n", strings.Join(packages, " "))
	if err := w.do(w.dir, "apt-get", "update", "-qq"); err != nil {
		return err
	}
	install := []string{"env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq", "--no-install-recommends"}
	return w.do(w.dir, append(install, packages...)...)
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
