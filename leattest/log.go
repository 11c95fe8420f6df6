package leattest

import (
	"log/slog"
	"testing"

	"go.uber.org/goleak"

	"github.com/leatlog/leat"
)

// Option changes what New and NewCluster open.
type Option func(*settings)

type settings struct {
	config    leat.Config
	leakCheck bool
	seed      uint64
}

// newSettings are those that no option has changed.
func newSettings(t testing.TB) settings {
	return settings{
		config: leat.Config{
			InMemory:               true,
			Logger:                 slog.New(slog.NewTextHandler(t.Output(), nil)),
			RetentionCheckInterval: -1,
			CompactionInterval:     -1,
		},
		leakCheck: true,
		seed:      1,
	}
}

// WithClock makes the Log take the time from a clock, in most tests one of
// NewClock. Default: the system's.
func WithClock(c leat.Clock) Option { return func(s *settings) { s.config.Clock = c } }

// WithDir keeps the Log in a directory, for instance t.TempDir(), instead of in
// memory, so that a test can open it again.
func WithDir(dir string) Option {
	return func(s *settings) { s.config.Dir, s.config.InMemory = dir, false }
}

// WithConfig lets a function change any other setting of the Log. It gets what
// New would use.
func WithConfig(change func(*leat.Config)) Option { return func(s *settings) { change(&s.config) } }

// WithoutLeakCheck leaves out the look for goroutines when the test ends.
func WithoutLeakCheck() Option { return func(s *settings) { s.leakCheck = false } }

// New opens a Log for a test or benchmark: in memory, with its diagnostics in the
// test's output, and with retention and compaction only on demand, so that no
// timer of theirs waits on a test's clock. A Log that cannot be opened ends the
// test.
//
// When the test ends the Log is closed, which is no harm if the test did so, and
// the test fails if that fails or if a goroutine that began after New is still
// there: one of the Log, or one of the test. Cleanups run last first, so those
// that the test adds after New, and what it defers, end before that look.
//
// Goroutines of tests that run beside this one look like its own: a test that
// calls t.Parallel takes WithoutLeakCheck.
func New(t testing.TB, options ...Option) *leat.Log {
	t.Helper()
	s := newSettings(t)
	for _, o := range options {
		if o != nil {
			o(&s)
		}
	}
	before := goleak.IgnoreCurrent()
	log, err := leat.Open(t.Context(), s.config)
	if err != nil {
		t.Fatalf("leattest: the Log cannot be opened: %v", err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Errorf("leattest: closing the Log: %v", err)
		}
		if !s.leakCheck {
			return
		}
		if err := goleak.Find(before); err != nil {
			t.Errorf("leattest: goroutines are left: %v", err)
		}
	})
	return log
}
