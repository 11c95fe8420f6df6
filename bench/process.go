package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// WrittenBytes returns how many bytes this process has caused to be written to
// storage so far: the kernel counts a page when it becomes dirty, so that data
// not yet written back is included.
func WrittenBytes() (int64, error) {
	return procField("/proc/self/io", "write_bytes")
}

// ResidentBytes returns the resident memory of this process.
func ResidentBytes() (int64, error) {
	kib, err := procField("/proc/self/status", "VmRSS")
	return kib << 10, err
}

// ResidentBytesOf returns the resident memory of a process.
func ResidentBytesOf(pid int) (int64, error) {
	kib, err := procField(fmt.Sprintf("/proc/%d/status", pid), "VmRSS")
	return kib << 10, err
}

// clockTicks is how many of the units of /proc/pid/stat make a second, on every
// architecture that Go runs on.
const clockTicks = 100

// ProcessorTime returns how long a process has kept processors busy, in its own
// code and in the kernel's, to 10 ms.
func ProcessorTime(pid int) (time.Duration, error) {
	path := fmt.Sprintf("/proc/%d/stat", pid)
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	// The second field is the name, in parentheses, and may hold anything; the
	// 14th and 15th are the times.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("%s has %d fields after the name", path, len(fields))
	}
	ticks := int64(0)
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / clockTicks, nil
}

// procField returns the number after "name:" in a file of such lines.
func procField(path, name string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), name+":")
		if !ok {
			continue
		}
		number, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
		return strconv.ParseInt(number, 10, 64)
	}
	if err := lines.Err(); err != nil {
		return 0, err
	}
	return 0, fmt.Errorf("%s has no %s", path, name)
}

// DropPageCache makes the kernel forget the contents of every file below dir, so
// that the next read of them goes to the disk.
func DropPageCache(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		// Only clean pages can be dropped.
		if err := f.Sync(); err != nil {
			return err
		}
		if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
			return &os.PathError{Op: "fadvise", Path: path, Err: err}
		}
		return nil
	})
}
