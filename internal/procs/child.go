package procs

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"sync"
)

// nameEnv tells a process which child it is.
const nameEnv = "LEAT_TEST_CHILD"

// maxLineBytes bounds a line that a child and its test send each other.
const maxLineBytes = 1 << 20

// Child is what a child knows of itself.
type Child struct {
	// Args are those that Start was given.
	Args []string
	// Lines delivers what the test writes. It is closed when the test is gone or has
	// closed it: the child should end.
	Lines <-chan string

	mu  sync.Mutex
	out io.Writer
}

// Say writes a line to the test.
func (c *Child) Say(format string, args ...any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := fmt.Fprintf(c.out, format+"\n", args...)
	return err
}

// Main runs this process as a child if it was started as one, and then ends it: with
// status 1 and the error on standard error if the child returned one. Otherwise it
// returns at once. It is called before anything else in TestMain.
func Main(children map[string]func(*Child) error) {
	name, ok := os.LookupEnv(nameEnv)
	if !ok {
		return
	}
	if err := run(name, children); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(name string, children map[string]func(*Child) error) error {
	f := children[name]
	if f == nil {
		return fmt.Errorf("there is no such child")
	}
	lines := make(chan string)
	go func() { // ends with the process
		defer close(lines)
		in := bufio.NewScanner(os.Stdin)
		in.Buffer(nil, maxLineBytes)
		for in.Scan() {
			lines <- in.Text()
		}
	}()
	return f(&Child{Args: os.Args[1:], Lines: lines, out: os.Stdout})
}
