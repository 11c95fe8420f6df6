package bench

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// pacerNap is the shortest wait of a Pacer. Records that fall due within one go
// out together, and their latency still counts from when each was due.
const pacerNap = 50 * time.Microsecond

// Pacer says when each operation of an open-loop load is due: evenly spaced at a
// rate, whether or not the system keeps up. A Go timer may fire a millisecond
// late on an idle machine, which would hide the latencies to be measured, so
// this one waits on a timerfd through the network poller.
type Pacer struct {
	timer *os.File
	start time.Time
	rate  float64
	n     int64
}

// NewPacer returns a pacer whose first operation is due when Wait is first called.
// rate is in operations per second.
func NewPacer(rate int) (*Pacer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	return &Pacer{
		timer: os.NewFile(uintptr(fd), "timerfd"),
		rate:  float64(rate),
	}, nil
}

// Wait returns when the next operation is due, at once if it is overdue, and says
// when it was due.
func (p *Pacer) Wait() (due time.Time, err error) {
	if p.n == 0 {
		p.start = time.Now()
	}
	due = p.start.Add(time.Duration(float64(p.n) / p.rate * float64(time.Second)))
	p.n++
	wait := time.Until(due)
	if wait <= 0 {
		return due, nil
	}
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(wait, pacerNap).Nanoseconds())}
	raw, err := p.timer.SyscallConn()
	if err != nil {
		return due, err
	}
	var setErr error
	if err := raw.Control(func(fd uintptr) { setErr = unix.TimerfdSettime(int(fd), 0, &spec, nil) }); err != nil {
		return due, err
	}
	if setErr != nil {
		return due, os.NewSyscallError("timerfd_settime", setErr)
	}
	var expirations [8]byte
	_, err = p.timer.Read(expirations[:])
	return due, err
}

// Close releases the timer.
func (p *Pacer) Close() error { return p.timer.Close() }
