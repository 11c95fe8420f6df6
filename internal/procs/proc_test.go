//go:build unix

package procs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	Main(map[string]func(*Child) error{
		"echo": func(c *Child) error {
			if err := c.Say("ready %s", strings.Join(c.Args, ",")); err != nil {
				return err
			}
			for line := range c.Lines {
				if err := c.Say("echo %s", line); err != nil {
					return err
				}
			}
			return os.WriteFile(c.Args[0], []byte("ended"), 0o600)
		},
		"fail": func(*Child) error { return errors.New("no luck") },
		"babble": func(c *Child) error {
			for {
				if err := c.Say("line"); err != nil {
					return err
				}
			}
		},
	})
	goleak.VerifyTestMain(m)
}

func line(t *testing.T, p *Proc) string {
	t.Helper()
	l, err := p.Line(t.Context())
	require.NoError(t, err)
	return l
}

func TestChild(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f")
	p := Start(t, "echo", file, "b")
	require.Equal(t, "ready "+file+",b", line(t, p))
	require.NoError(t, p.Say("one %d", 1))
	require.Equal(t, "echo one 1", line(t, p))
	require.NoError(t, p.End(t.Context()))
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "ended", string(content))
	_, err = p.Line(t.Context())
	require.ErrorIs(t, err, ErrEnded)
	require.ErrorIs(t, p.Kill(), ErrEnded)
	require.ErrorIs(t, p.Stop(), ErrEnded)
}

func TestKill(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f")
	p := Start(t, "echo", file)
	line(t, p)
	require.NoError(t, p.Kill())
	err := p.Wait(t.Context())
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, syscall.SIGKILL, exit.Sys().(syscall.WaitStatus).Signal())
	_, err = os.Stat(file)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// state returns the state of a process as the kernel tells it.
func state(t *testing.T, id int) string {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", id))
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(stat), ") ")
	return rest[:1]
}

func TestStop(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("needs /proc to see that a process is stopped")
	}
	p := Start(t, "echo", filepath.Join(t.TempDir(), "f"))
	line(t, p)
	require.NoError(t, p.Stop())
	require.Eventually(t, func() bool { return state(t, p.ID()) == "T" }, 10*time.Second, time.Millisecond)
	require.NoError(t, p.Say("later"))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := p.Line(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, p.Continue())
	require.Equal(t, "echo later", line(t, p))
}

func TestFailingChild(t *testing.T) {
	t.Parallel()
	p := Start(t, "fail")
	_, err := p.Line(t.Context())
	require.ErrorIs(t, err, ErrEnded)
	require.ErrorContains(t, err, "exit status 1")
	p = Start(t, "nobody")
	require.ErrorContains(t, p.Wait(t.Context()), "exit status 1")
}

// TestUnread sees that the end of a test ends children that are stopped or that
// nobody listens to.
func TestUnread(t *testing.T) {
	var procs []*Proc
	t.Run("test", func(t *testing.T) {
		procs = append(procs, Start(t, "babble"), Start(t, "echo", filepath.Join(t.TempDir(), "f")))
		line(t, procs[0])
		require.NoError(t, procs[1].Stop())
	})
	for _, p := range procs {
		require.Error(t, p.Wait(t.Context()))
	}
}
