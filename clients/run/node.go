package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// stopMax is how long a node may take to end.
const stopMax = 20 * time.Second

// node is a leat process.
type node struct {
	cmd    *exec.Cmd
	stdout io.ReadCloser
	addr   string
	log    string // path of its diagnostics
}

// buildLeat builds the command of the repository that clients/ is in.
func buildLeat(w *workshop) (string, error) {
	bin := w.cached("bin", "leat")
	return bin, w.do(filepath.Dir(w.dir), "go", "build", "-o", bin, "./cmd/leat")
}

// startNode starts a node on a free port of its own, in a directory.
func startNode(bin, dir string) (*node, error) {
	n := &node{log: dir + ".log"}
	log, err := os.Create(n.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	n.cmd = exec.Command(bin, "serve", "--json", "--dir", dir, "--listen", "127.0.0.1:0")
	n.cmd.Stderr = log
	n.cmd.SysProcAttr = ownGroup()
	if n.stdout, err = n.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	var ready struct{ Listen string }
	line, err := bufio.NewReader(n.stdout).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &ready)
	}
	if err != nil {
		err = fmt.Errorf("the node did not say where it listens: %w", err)
		return nil, errors.Join(err, n.kill(), n.tail())
	}
	n.addr = ready.Listen
	return n, nil
}

func ownGroup() *syscall.SysProcAttr {
	// An interrupt from the terminal is for the driver, which ends what it has started.
	return &syscall.SysProcAttr{Setpgid: true}
}

func (n *node) kill() error {
	if err := n.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	n.cmd.Wait() // its error is that it was killed
	return nil
}

// stop ends the node as its operator would; that it does so in time and without an
// error is part of the test.
func (n *node) stop() error {
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	timer := time.AfterFunc(stopMax, func() { n.cmd.Process.Kill() })
	defer timer.Stop()
	if err := n.cmd.Wait(); err != nil {
		return errors.Join(fmt.Errorf("the node: %w", err), n.tail())
	}
	return nil
}

// tail is the end of the node's diagnostics as an error.
func (n *node) tail() error {
	b, err := os.ReadFile(n.log)
	if err != nil {
		return err
	}
	return fmt.Errorf("its diagnostics end with:\n%s", b[max(0, len(b)-4000):])
}
