package procs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
)

// Proc is a child of a test. All methods may be called concurrently.
type Proc struct {
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	// lines delivers what the child says; closed when it says no more.
	lines chan string
	// done is closed when the child has ended and err is set.
	done chan struct{}
	err  error
	// gone is closed by the end of the test, so that lines that nobody reads do
	// not keep the child.
	gone chan struct{}
}

// ErrEnded is returned for a child that has ended.
var ErrEnded = errors.New("procs: the child has ended")

// Start starts a child with arguments. What it writes to standard error goes to
// the test's output. A child that cannot be started ends the test.
func Start(t testing.TB, name string, args ...string) *Proc {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatalf("procs: %v", err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), nameEnv+"="+name)
	cmd.Stderr = t.Output()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatalf("procs: %v", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatalf("procs: %v", err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("procs: %s: %v", name, err)
	}
	p := &Proc{name: name, cmd: cmd, stdin: stdin, lines: make(chan string), done: make(chan struct{}), gone: make(chan struct{})}
	go p.read(stdout)
	t.Cleanup(func() {
		close(p.gone)
		_ = p.Kill() // most have ended
		<-p.done
	})
	return p
}

// read delivers the child's lines, then waits for its end.
func (p *Proc) read(stdout io.Reader) {
	in := bufio.NewScanner(stdout)
	in.Buffer(nil, maxLineBytes)
	for in.Scan() {
		select {
		case p.lines <- in.Text():
		case <-p.gone:
		}
	}
	_, scanErr := io.Copy(io.Discard, stdout) // after a line that is too long
	close(p.lines)
	p.err = errors.Join(p.cmd.Wait(), in.Err(), scanErr)
	close(p.done)
}

// Line returns the next line that the child says, or an error when it ends or ctx
// does.
func (p *Proc) Line(ctx context.Context) (string, error) {
	select {
	case line, ok := <-p.lines:
		if !ok {
			<-p.done
			return "", fmt.Errorf("%w: %s: %w", ErrEnded, p.name, orNil(p.err))
		}
		return line, nil
	case <-ctx.Done():
		return "", fmt.Errorf("procs: waiting for a line of %s: %w", p.name, ctx.Err())
	}
}

func orNil(err error) error {
	if err == nil {
		return errors.New("without an error")
	}
	return err
}

// Say writes a line to the child.
func (p *Proc) Say(format string, args ...any) error {
	_, err := fmt.Fprintf(p.stdin, format+"\n", args...)
	return err
}

// End closes the child's input, which asks it to end, and waits for that. It
// returns what the child failed with.
func (p *Proc) End(ctx context.Context) error {
	if err := p.stdin.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return p.Wait(ctx)
}

// Wait waits until the child has ended, and returns what it failed with. What it
// says must be read meanwhile.
func (p *Proc) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Kill kills the child with SIGKILL.
func (p *Proc) Kill() error { return p.signal(os.Kill) }

func (p *Proc) signal(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); errors.Is(err, os.ErrProcessDone) {
		return ErrEnded
	} else if err != nil {
		return fmt.Errorf("procs: %s: %w", p.name, err)
	}
	return nil
}

// ID returns the number of the child's process.
func (p *Proc) ID() int { return p.cmd.Process.Pid }
