package faultdisk

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// Disk is the disk of one machine. All methods may be called concurrently.
type Disk struct {
	mu   sync.Mutex
	rng  *rand.Rand
	life *life
	full bool
	sick bool          // fsync fails
	hung chan struct{} // closed when fsyncs go on; nil: they do
}

// life is the disk from one power-on to the next power loss.
type life struct {
	disk *Disk
	mem  *vfs.MemFS
	// over is closed by the power loss: what hangs goes on, to no effect.
	over chan struct{}
}

// New returns an empty disk. What a power loss keeps by chance comes from seed.
func New(seed uint64) *Disk {
	d := &Disk{rng: rand.New(rand.NewPCG(seed, 0x6661756c74646973))}
	d.life = &life{disk: d, mem: vfs.NewCrashableMem(), over: make(chan struct{})}
	return d
}

// FS returns the file system of the program that runs now, until Crash or Wipe.
func (d *Disk) FS() vfs.FS {
	d.mu.Lock()
	defer d.mu.Unlock()
	return errorfs.Wrap(d.life.mem, d.life)
}

// Crash ends the life of the program. Of what was not synced the given part is
// kept, 0 to 100 percent, chosen by chance: 0 is a power loss at its worst, 100 a
// process that was killed on a machine that goes on.
func (d *Disk) Crash(unsyncedPercent int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.replaceLocked(d.life.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsyncedPercent, RNG: d.rng}))
}

// Wipe ends the life of the program and puts an empty disk in place.
func (d *Disk) Wipe() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.replaceLocked(vfs.NewCrashableMem())
}

func (d *Disk) replaceLocked(mem *vfs.MemFS) {
	close(d.life.over)
	d.life = &life{disk: d, mem: mem, over: make(chan struct{})}
}

// Fill makes every write fail with syscall.ENOSPC, until Repair. Files can be
// removed.
func (d *Disk) Fill() { d.set(func() { d.full = true }) }

// FailSync makes every fsync fail with syscall.EIO, until
// Repair.
func (d *Disk) FailSync() { d.set(func() { d.sick = true }) }

// HangSync makes every fsync wait, until Repair or the end of the program's life.
func (d *Disk) HangSync() {
	d.set(func() {
		if d.hung == nil {
			d.hung = make(chan struct{})
		}
	})
}

// Repair undoes Fill, FailSync and HangSync.
func (d *Disk) Repair() {
	d.set(func() {
		d.full, d.sick = false, false
		if d.hung != nil {
			close(d.hung)
			d.hung = nil
		}
	})
}

func (d *Disk) set(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

// Files returns the paths of the files below dir whose base names contain part,
// sorted.
func (d *Disk) Files(dir, part string) ([]string, error) {
	d.mu.Lock()
	mem := d.life.mem
	d.mu.Unlock()
	var files []string
	var walk func(dir string) error
	walk = func(dir string) error {
		names, err := mem.List(dir)
		if err != nil {
			return err
		}
		for _, name := range names {
			path := mem.PathJoin(dir, name)
			info, err := mem.Stat(path)
			if err != nil {
				return err
			}
			if info.IsDir() {
				if err := walk(path); err != nil {
					return err
				}
			} else if strings.Contains(name, part) {
				files = append(files, path)
			}
		}
		return nil
	}
	if err := walk(dir); err != nil {
		return nil, err
	}
	slices.Sort(files)
	return files, nil
}

// Flip flips a bit of a file, chosen by chance, and returns the offset of its
// byte. Programs that have the file open may see it or not: flip between two
// lives.
func (d *Disk) Flip(path string) (offset int64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	data, err := readFile(d.life.mem, path)
	if err != nil {
		return 0, err
	}
	if len(data) == 0 {
		return 0, fmt.Errorf("faultdisk: %s is empty", path)
	}
	i := d.rng.IntN(len(data))
	data[i] ^= 1 << d.rng.IntN(8)
	return int64(i), writeFile(d.life.mem, path, data)
}

// Truncate cuts a file to a length, as between two lives.
func (d *Disk) Truncate(path string, length int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	data, err := readFile(d.life.mem, path)
	if err != nil {
		return err
	}
	if length < 0 || length > int64(len(data)) {
		return fmt.Errorf("faultdisk: %s has %d bytes, not %d", path, len(data), length)
	}
	return writeFile(d.life.mem, path, data[:length])
}

func readFile(fs vfs.FS, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // nothing was written
	return io.ReadAll(f)
}

func writeFile(fs vfs.FS, path string, data []byte) error {
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		_ = f.Close() // the first error tells
		return err
	}
	if err := f.Sync(); err != nil {
		_ = f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	dir, err := fs.OpenDir(fs.PathDir(path))
	if err != nil {
		return err
	}
	defer dir.Close() // nothing was written
	return dir.Sync()
}

var _ errorfs.Injector = (*life)(nil)

// MaybeError fails or holds an operation.
func (l *life) MaybeError(op errorfs.Op) error {
	d := l.disk
	fsync := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
	d.mu.Lock()
	full, sick, hung := d.full, d.sick, d.hung
	d.mu.Unlock()
	if hung != nil && fsync {
		select {
		case <-hung:
		case <-l.over:
		}
	}
	switch {
	case sick && fsync:
		return &os.PathError{Op: "sync", Path: op.Path, Err: syscall.EIO}
	case full && takesRoom(op.Kind):
		return &os.PathError{Op: "write", Path: op.Path, Err: syscall.ENOSPC}
	}
	return nil
}

func takesRoom(k errorfs.OpKind) bool {
	switch k {
	case errorfs.OpCreate, errorfs.OpLink, errorfs.OpReuseForWrite, errorfs.OpMkdirAll,
		errorfs.OpFileWrite, errorfs.OpFileWriteAt, errorfs.OpFilePreallocate, errorfs.OpFileFlush:
		return true
	}
	return false
}

// String names the injector.
func (l *life) String() string { return "faultdisk" }
