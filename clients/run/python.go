package main

import "path/filepath"

// pythonPackages installs what the Python programs need into an environment of theirs.
func pythonPackages(w *workshop) error {
	requirements := w.path("python", "requirements.txt")
	return w.once("python", []string{requirements}, func() error {
		if err := w.apt("python3", "python3", "python3-venv"); err != nil {
			return err
		}
		venv := w.cached("python")
		if err := w.do(w.dir, "python3", "-m", "venv", "--clear", venv); err != nil {
			return err
		}
		return w.do(w.dir, filepath.Join(venv, "bin", "pip"), "install", "-q", "-r", requirements)
	})
}

func python(program string) func(*workshop) []string {
	return func(w *workshop) []string {
		return []string{w.cached("python", "bin", "python"), "-B", w.path("python", program)}
	}
}
