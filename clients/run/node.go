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

const (
	readyMax = 60 * time.Second // for a node to serve clients
	stopMax  = 20 * time.Second // and to end
)

// node is a leat process. It can be started again once it has ended.
type node struct {
	id   int32    // as clients know it
	args []string // of the process
	log  string   // path of its diagnostics
	addr string   // for clients, once it is ready

	cmd    *exec.Cmd
	stdout io.ReadCloser
}

// buildLeat builds the command of the repository that clients/ is in.
func buildLeat(w *workshop) (string, error) {
	bin := w.cached("bin", "leat")
	return bin, w.do(filepath.Dir(w.dir), "go", "build", "-o", bin, "./cmd/leat")
}

// start starts the process, whose diagnostics go on in the same file.
func (n *node) start() error {
	log, err := os.OpenFile(n.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	n.cmd = exec.Command(n.args[0], n.args[1:]...)
	n.cmd.Stderr = log
	n.cmd.SysProcAttr = ownGroup()
	if n.stdout, err = n.cmd.StdoutPipe(); err != nil {
		return err
	}
	return n.cmd.Start()
}

// ready waits until clients can connect. If that fails the process has been ended.
func (n *node) ready() error {
	timer := time.AfterFunc(readyMax, func() { n.cmd.Process.Kill() })
	defer timer.Stop()
	var ready struct{ Listen string }
	line, err := bufio.NewReader(n.stdout).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &ready)
	}
	if err != nil {
		err = fmt.Errorf("node %d did not say where it listens: %w", n.id, err)
		return errors.Join(err, n.kill(), n.tail())
	}
	n.addr = ready.Listen
	return nil
}

func ownGroup() *syscall.SysProcAttr {
	// An interrupt from the terminal is for the driver, which ends what it has started.
	return &syscall.SysProcAttr{Setpgid: true}
}

// kill ends the process, if it runs, without a chance to do anything about it.
func (n *node) kill() error {
	if n.cmd == nil || n.cmd.Process == nil {
		return nil
	}
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
		return errors.Join(fmt.Errorf("node %d: %w", n.id, err), n.tail())
	}
	return nil
}

// tail is the end of the node's diagnostics as an error.
func (n *node) tail() error {
	b, err := os.ReadFile(n.log)
	if err != nil {
		return err
	}
	return fmt.Errorf("the diagnostics of node %d end with:\n%s", n.id, b[max(0, len(b)-4000):])
}
