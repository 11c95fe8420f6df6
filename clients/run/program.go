package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// programMax is how long the program of a client may run.
const programMax = 8 * time.Minute

// task is one run of a client's program.
type task struct {
	client     *client
	scenarios  []string
	env        []string
	onProgress func(records int) // may be nil
}

// sink lets several programs write lines at a time.
type sink struct {
	mu  sync.Mutex
	out io.Writer
}

func (s *sink) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(b)
}

// run runs the program to its end and returns a result for each scenario.
func (t *task) run(ctx context.Context, w *workshop, verbose bool) []result {
	ctx, cancel := context.WithTimeout(ctx, programMax)
	defer cancel()
	script := &transcript{client: t.client.name}
	args := t.client.command(w)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = w.dir
	cmd.Env = append(append(os.Environ(), t.env...), "SCENARIOS="+strings.Join(t.scenarios, ","), "CACHE="+w.cache)
	cmd.SysProcAttr = ownGroup()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // it and its own
	cmd.WaitDelay = 5 * time.Second
	r, pipe := io.Pipe()
	cmd.Stdout, cmd.Stderr = pipe, pipe
	read := make(chan error, 1)
	go func() { read <- t.follow(r, script, w.out, verbose) }()
	err := cmd.Run()
	pipe.Close()
	if readErr := <-read; err == nil {
		err = readErr
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("ended after %v: %w", programMax, ctx.Err())
	}
	return script.finish(t.scenarios, err)
}

// follow reads the output to its end.
func (t *task) follow(r *io.PipeReader, script *transcript, out io.Writer, verbose bool) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		s := lines.Text()
		before := script.progress
		report := script.line(s)
		if script.progress != before && t.onProgress != nil {
			t.onProgress(script.progress)
		}
		if verbose || !report || strings.HasPrefix(s, "@ fail") {
			fmt.Fprintf(out, "[%s] %s\n", t.client.name, s)
		}
	}
	err := lines.Err()
	r.CloseWithError(err) // a line that is too long must not block the program
	return err
}
