package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// workshop has what the brokers are made of, and where they run.
type workshop struct {
	self  string // this program
	leat  string // the program leat, built from this tree
	kafka string // the class path of Kafka
	data  string // of all brokers; removed in the end

	leatFlags []string // more of `leat serve`
}

// source returns the directory of this program's source, which is two below the
// library's.
func source() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(file) {
		return "", errors.New("built without the path of its source: run it by go run ./wire")
	}
	return filepath.Dir(file), nil
}

// openWorkshop builds and fetches what the systems need. parent is where the data
// goes; empty is the temporary directory.
func openWorkshop(ctx context.Context, parent string, needKafka bool) (*workshop, error) {
	w := new(workshop)
	var err error
	if w.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if w.data, err = os.MkdirTemp(parent, "leat-wire-"); err != nil {
		return nil, err
	}
	if err := w.furnish(ctx, needKafka); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

// furnish gets the programs.
func (w *workshop) furnish(ctx context.Context, needKafka bool) error {
	src, err := source()
	if err != nil {
		return err
	}
	w.leat = filepath.Join(w.data, "leat")
	if err := w.do(ctx, "go", "build", "-C", filepath.Join(src, "..", ".."), "-o", w.leat, "./cmd/leat"); err != nil {
		return err
	}
	if !needKafka {
		return nil
	}
	lib := filepath.Join(src, ".cache", "kafka", "lib")
	w.kafka = filepath.Join(lib, "*")
	if _, err := os.Stat(lib); err == nil {
		return nil
	}
	fetched := lib + ".part" // until all is there
	if err := w.do(ctx, "mvn", "-B", "-ntp", "-q", "-f", filepath.Join(src, "pom.xml"),
		"-DincludeScope=runtime", "-DoutputDirectory="+fetched, "dependency:copy-dependencies"); err != nil {
		return err
	}
	return os.Rename(fetched, lib)
}

func (w *workshop) close() error { return os.RemoveAll(w.data) }

// do runs a program to its end.
func (w *workshop) do(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%v: %w\n%s", args, err, out)
	}
	return nil
}
