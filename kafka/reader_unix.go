//go:build unix

package kafka

import (
	"errors"
	"syscall"
)

// canWait says that readNow works.
const canWait = true

// readNow reads what is there from a socket that does not block; again if there is
// nothing yet.
func readNow(fd uintptr, p []byte) (n int, again bool, err error) {
	for {
		n, err = syscall.Read(int(fd), p)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if errors.Is(err, syscall.EAGAIN) {
		return 0, true, nil
	}
	return n, false, err
}
