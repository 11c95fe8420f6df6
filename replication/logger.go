package replication

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lni/dragonboat/v4/logger"
)

// dragonboat's loggers belong to the process: its factory can be set once. Each
// message goes to the loggers of all Nodes that are open. It is the only state
// of this package that Nodes share.
var raftLoggers loggers

type loggers struct {
	install sync.Once
	mu      sync.Mutex
	open    atomic.Pointer[[]*slog.Logger] // copied on write
}

// add routes dragonboat's messages to a Node's logger until remove.
func (l *loggers) add(to *slog.Logger) {
	l.install.Do(func() {
		// A process that uses dragonboat itself may have set the factory, which
		// cannot be asked; the messages then go where it says.
		defer func() { _ = recover() }()
		logger.SetLoggerFactory(func(pkg string) logger.ILogger { return &raftLogger{all: l, pkg: pkg} })
	})
	l.change(func(open []*slog.Logger) []*slog.Logger { return append(open, to) })
}

func (l *loggers) remove(from *slog.Logger) {
	l.change(func(open []*slog.Logger) []*slog.Logger {
		if i := slices.Index(open, from); i >= 0 {
			open = slices.Delete(open, i, i+1)
		}
		return open
	})
}

func (l *loggers) change(f func([]*slog.Logger) []*slog.Logger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var open []*slog.Logger
	if p := l.open.Load(); p != nil {
		open = slices.Clone(*p)
	}
	open = f(open)
	l.open.Store(&open)
}

// raftLogger is one of dragonboat's loggers. It reports as warnings what
// dragonboat calls errors, such as a peer that is down, and everything else as
// details.
type raftLogger struct {
	all *loggers
	pkg string
}

var _ logger.ILogger = (*raftLogger)(nil)

// SetLevel does nothing: the loggers that the messages go to have levels.
func (*raftLogger) SetLevel(logger.LogLevel) {}

func (r *raftLogger) log(level slog.Level, format string, args []any) {
	open := r.all.open.Load()
	if open == nil {
		return
	}
	for _, l := range *open {
		if l.Enabled(context.Background(), level) {
			l.Log(context.Background(), level, fmt.Sprintf(format, args...), "raft", r.pkg)
		}
	}
}

func (r *raftLogger) Debugf(format string, args ...any)   { r.log(slog.LevelDebug-4, format, args) }
func (r *raftLogger) Infof(format string, args ...any)    { r.log(slog.LevelDebug, format, args) }
func (r *raftLogger) Warningf(format string, args ...any) { r.log(slog.LevelDebug, format, args) }
func (r *raftLogger) Errorf(format string, args ...any)   { r.log(slog.LevelWarn, format, args) }

// Panicf panics, as dragonboat expects: it goes on with broken state otherwise.
func (r *raftLogger) Panicf(format string, args ...any) {
	r.log(slog.LevelError, format, args)
	panic(fmt.Sprintf(format, args...))
}
