package main

import (
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows on a terminal how far something is; elsewhere it shows nothing. Its
// methods may be called concurrently.
type progress struct {
	bar *progressbar.ProgressBar // nil: nothing is shown
	end func()                   // takes it off the screen; may be called again
}

// isTerminal reports whether somebody looks at a stream.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// progress begins to show how much of total is done, -1 if that is not known. It shows
// nothing where stderr is no terminal.
func (a *app) progress(total int64, what string) *progress {
	if !isTerminal(a.stderr) {
		return &progress{end: func() {}}
	}
	bar := progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(a.stderr),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(),
		progressbar.OptionShowIts(),
		progressbar.OptionSetItsString(what),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetSpinnerChangeInterval(0), // it has no goroutine then
		progressbar.OptionClearOnFinish(),
	)
	return &progress{bar: bar, end: sync.OnceFunc(func() { _ = bar.Finish() })}
}

// add says that n more are done.
func (p *progress) add(n int) {
	if p.bar != nil {
		_ = p.bar.Add(n) // a screen that cannot be written to is no reason to end
	}
}
