package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// progress tells on stderr how far the work is: on a terminal in one line that
// it writes over, elsewhere in a line every now and then.
type progress struct {
	terminal bool
	stop     chan struct{} // closed by end
	wg       sync.WaitGroup
	once     sync.Once
}

// showProgress shows what status returns until end is called.
func showProgress(status func() string) *progress {
	p := &progress{stop: make(chan struct{})}
	if info, err := os.Stderr.Stat(); err == nil {
		p.terminal = info.Mode()&os.ModeCharDevice != 0
	}
	every := 2 * time.Second
	if p.terminal {
		every = 50 * time.Millisecond
	}
	p.wg.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				p.show(status())
			case <-p.stop:
				p.show(status())
				return
			}
		}
	})
	return p
}

func (p *progress) show(status string) {
	if p.terminal {
		fmt.Fprintf(os.Stderr, "\r%-78s", status)
		return
	}
	fmt.Fprintln(os.Stderr, status)
}

// end shows the last state and returns when nothing is shown any more. The second
// call does nothing.
func (p *progress) end() {
	p.once.Do(func() {
		close(p.stop)
		p.wg.Wait()
		if p.terminal {
			fmt.Fprintln(os.Stderr)
		}
	})
}

// bar draws a share of width characters.
func bar(n, of, width int) string {
	full := width
	if n < of {
		full = n * width / of
	}
	return "[" + strings.Repeat("=", full) + strings.Repeat(" ", width-full) + "]"
}
