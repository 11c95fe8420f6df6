package replication

import (
	"sync"

	"github.com/leatlog/leat/internal/store"
)

// fault is how a Node fails: once, for ever, and without dragonboat noticing.
// What cannot go on waits for the Node's Close.
type fault struct {
	seal func() // cuts the node off

	once     sync.Once
	failed   chan struct{} // closed by fail
	cause    error         // set before failed is closed
	released chan struct{} // closed by release
	release1 sync.Once
}

func newFault(seal func()) *fault {
	return &fault{seal: seal, failed: make(chan struct{}), released: make(chan struct{})}
}

// fail fails the node. It must come before whatever follows from the error that
// is hidden.
func (f *fault) fail(cause error) {
	f.once.Do(func() {
		f.seal()
		f.cause = &failedError{cause}
		close(f.failed)
	})
}

// err returns why the node failed, nil if it has not.
func (f *fault) err() error {
	select {
	case <-f.failed:
		return f.cause
	default:
		return nil
	}
}

// wait waits until the Node is being closed.
func (f *fault) wait() { <-f.released }

// release ends the waiting.
func (f *fault) release() { f.release1.Do(func() { close(f.released) }) }

// failedError matches store.ErrFailed, whatever its cause.
type failedError struct{ cause error }

func (e *failedError) Error() string { return "replication has stopped: " + e.cause.Error() }

// Unwrap returns store.ErrFailed and the cause.
func (e *failedError) Unwrap() []error { return []error{store.ErrFailed, e.cause} }
