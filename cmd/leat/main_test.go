package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// asProgramEnv makes the test binary be the program.
const asProgramEnv = "LEAT_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgramEnv) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// result is what a run of the program left.
type result struct {
	status         int
	stdout, stderr string
}

// leatIn runs the program in this process, without the environment.
func leatIn(t testing.TB, ctx context.Context, stdin string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status := newApp(strings.NewReader(stdin), &stdout, &stderr, func(string) string { return "" }).run(ctx, args)
	return result{status, stdout.String(), stderr.String()}
}

// mustLeat runs the program, which must succeed, and returns what it printed.
func mustLeat(t testing.TB, stdin string, args ...string) string {
	t.Helper()
	r := leatIn(t, testContext(t), stdin, args...)
	require.Zero(t, r.status, "leat %q: %s", args, r.stderr)
	return r.stdout
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// process is a run of the program as a process of its own.
type process struct {
	cmd   *exec.Cmd
	ready string // its first line

	mu     sync.Mutex
	stderr bytes.Buffer
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.Write(b)
}

func (p *process) diagnostics() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

// startProcess starts the program and waits for its first line.
func startProcess(t testing.TB, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0], args...)}
	p.cmd.Env = append(os.Environ(), asProgramEnv+"=1")
	p.cmd.Stderr = p
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil { // the test has failed
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	})
	p.ready, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		rest, _ := io.ReadAll(out)
		t.Fatalf("leat %q: %v: %q %s", args, err, rest, p.diagnostics())
	}
	return p
}

// end sends a signal and returns the exit status.
func (p *process) end(t testing.TB, sig os.Signal) int {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(sig))
	ended := make(chan struct{})
	go func() {
		_ = p.cmd.Wait() // its status is in ProcessState
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill()
		<-ended
		t.Fatalf("the process did not end after %v: %s", sig, p.diagnostics())
	}
	return p.cmd.ProcessState.ExitCode()
}
