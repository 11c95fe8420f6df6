package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/leatlog/leat/bench"
)

// system is a broker under test.
type system struct {
	name string
	// prepare makes a directory what the broker can be started on; nil: nothing to do.
	prepare func(ctx context.Context, w *workshop, dir string, port int) error
	// command returns the program that serves Kafka's protocol on 127.0.0.1:port.
	command func(w *workshop, dir string, port int) []string
}

// systems returns all, in the order of the table's columns.
func systems() []system {
	return []system{leat(), kfake(false), kfake(true), kafka(false), kafka(true)}
}

// broker is a system that runs.
type broker struct {
	system system
	addr   string
	port   int
	dir    string
	begun  time.Time // when its process was started

	cmd      *exec.Cmd
	log      *os.File
	stopping atomic.Bool
	ended    chan struct{} // closed when the process has ended and err is set
	err      error
}

// stopGrace is how long a broker may take to end in order.
const stopGrace = 20 * time.Second

// launch prepares a directory below the workshop's and starts a broker on it.
func (w *workshop) launch(ctx context.Context, s system) (*broker, error) {
	dir, err := os.MkdirTemp(w.data, s.name+"-")
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	if s.prepare != nil {
		if err := s.prepare(ctx, w, dir, port); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return w.start(s, dir, port)
}

// start runs a broker on a directory that is prepared.
func (w *workshop) start(s system, dir string, port int) (*broker, error) {
	args := s.command(w, dir, port)
	log, err := os.OpenFile(filepath.Join(w.data, s.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	b := &broker{system: s, dir: dir, port: port, addr: fmt.Sprintf("127.0.0.1:%d", port), log: log, ended: make(chan struct{})}
	b.cmd = exec.Command(args[0], args[1:]...)
	b.cmd.Stdout, b.cmd.Stderr = log, log
	// It does not outlive this process, however that ends.
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	b.begun = time.Now()
	if err := b.cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	go func() {
		b.err = b.cmd.Wait()
		close(b.ended)
	}()
	return b, nil
}

// freePort returns a port that was free just now.
func freePort() (int, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return ln.Addr().(*net.TCPAddr).Port, ln.Close()
}

// reachable waits until the broker accepts connections.
func (b *broker) reachable(ctx context.Context) error {
	for {
		nc, err := net.Dial("tcp", b.addr)
		if err == nil {
			return nc.Close()
		}
		if err := b.pause(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
}

// pause waits, and fails if the broker has ended or ctx has.
func (b *broker) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-b.ended:
		return fmt.Errorf("%s has ended (%v); see %s", b.system.name, b.err, b.log.Name())
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stop ends the process and waits for it. The directory stays.
func (b *broker) stop() error {
	if b.stopping.Swap(true) {
		return nil
	}
	_ = b.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	t := time.NewTimer(stopGrace)
	defer t.Stop()
	select {
	case <-b.ended:
	case <-t.C:
		_ = b.cmd.Process.Kill()
		<-b.ended
	}
	return b.log.Close()
}

// residentMiB returns the broker's memory.
func (b *broker) residentMiB() (float64, error) {
	n, err := bench.ResidentBytesOf(b.cmd.Process.Pid)
	return float64(n) / (1 << 20), err
}

// busy returns how long the broker has kept processors busy.
func (b *broker) busy() (time.Duration, error) { return bench.ProcessorTime(b.cmd.Process.Pid) }
