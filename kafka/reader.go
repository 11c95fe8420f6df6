package kafka

import (
	"io"
	"net"
	"sync"
	"syscall"
)

// readBufferBytes is what is read at a time of a small request; larger ones are read
// into their frame.
const readBufferBytes = 4 << 10

// reader reads the requests of a connection. It has a buffer only while a request
// comes in: most connections wait for most of the time, and there may be many.
type reader struct {
	net  net.Conn
	raw  syscall.RawConn // nil: there is no way to wait without a buffer
	pool *sync.Pool      // of *[readBufferBytes]byte
	buf  *[readBufferBytes]byte
	r, w int // the bytes in buf that are not read: [r, w)
}

// newReader returns a reader of c. With TLS the bytes are not those of the socket.
func newReader(c net.Conn, pool *sync.Pool) *reader {
	r := &reader{net: c, pool: pool}
	if s, ok := c.(syscall.Conn); ok && canWait {
		if raw, err := s.SyscallConn(); err == nil {
			r.raw = raw
		}
	}
	return r
}

// wait returns when there is something to read.
func (r *reader) wait() (err error) {
	if r.r < r.w {
		return nil
	}
	if r.raw == nil {
		return r.fill()
	}
	r.release()
	var n int
	waitErr := r.raw.Read(func(fd uintptr) bool {
		buf := r.pool.Get().(*[readBufferBytes]byte)
		var again bool
		if n, again, err = readNow(fd, buf[:]); again || n <= 0 {
			r.pool.Put(buf)
			return !again
		}
		r.buf, r.r, r.w = buf, 0, n
		return true
	})
	switch {
	case waitErr != nil:
		return waitErr
	case err != nil:
		return &net.OpError{Op: "read", Net: "tcp", Addr: r.net.RemoteAddr(), Err: err}
	case n == 0:
		return io.EOF
	}
	return nil
}

// fill reads into the empty buffer.
func (r *reader) fill() error {
	if r.buf == nil {
		r.buf = r.pool.Get().(*[readBufferBytes]byte)
	}
	n, err := r.net.Read(r.buf[:])
	r.r, r.w = 0, max(n, 0)
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// full reads all of p, what is small through the buffer.
func (r *reader) full(p []byte) error {
	for {
		n := 0
		if r.buf != nil {
			n = copy(p, r.buf[r.r:r.w])
		}
		r.r += n
		p = p[n:]
		switch {
		case len(p) == 0:
			return nil
		case len(p) >= readBufferBytes:
			_, err := io.ReadFull(r.net, p)
			return err
		}
		if err := r.fill(); err != nil {
			return err
		}
	}
}

// release gives the buffer back if it is empty.
func (r *reader) release() {
	if r.buf != nil && r.r == r.w {
		r.pool.Put(r.buf)
		r.buf, r.r, r.w = nil, 0, 0
	}
}

// close gives the buffer back, whatever is in it.
func (r *reader) close() {
	r.r = r.w
	r.release()
}
