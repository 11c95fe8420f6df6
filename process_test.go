package leat

import (
	"errors"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

const lockedDirEnv = "LEAT_TEST_LOCKED_DIR"

// TestASecondProcessIsLockedOut opens a directory that this process has open from
// another one.
func TestASecondProcessIsLockedOut(t *testing.T) {
	dir := t.TempDir()
	l := openTest(t, Config{Dir: dir})
	mustTopic(t, l, "t", TopicConfig{})
	cmd := exec.Command(os.Args[0], "-test.run=^TestLockedOutChild$", "-test.v")
	cmd.Env = append(os.Environ(), lockedDirEnv+"="+dir)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: TestLockedOutChild")
	p, err := l.NewProducer()
	require.NoError(t, err)
	_, err = p.ProduceSync(t.Context(), Record{Topic: "t"})
	require.NoError(t, err, "the first is not disturbed")
}

// TestLockedOutChild is the second process.
func TestLockedOutChild(t *testing.T) {
	dir := os.Getenv(lockedDirEnv)
	if dir == "" {
		t.Skip("runs as a child of TestASecondProcessIsLockedOut")
	}
	_, err := Open(t.Context(), Config{Dir: dir})
	require.ErrorIs(t, err, ErrLocked)
	require.ErrorContains(t, err, dir)
	require.False(t, errors.Is(err, ErrCorrupt))
}
