package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leatlog/leat/internal/base"
)

// FS is the file system that a Store lives on.
type FS = vfs.FS

// NewMemFS returns an empty file system in memory.
func NewMemFS() FS { return vfs.NewMem() }

// The versions of the keys and values of this package. A directory without Raft
// logs and replicated partitions stays at the first, for older versions to read.
const (
	formatVersion = 1
	formatRaft    = 2
)

// maxBlobReferences is how many blob files the tables of a key range may refer to
// before a compaction writes their values anew. Each memtable makes one, so that
// values are not rewritten below 16,000 memtables.
const maxBlobReferences = 16_000

const formatKey = "format"

// Options says where a Store lives and what it may use. Zero values mean the
// defaults.
type Options struct {
	// Dir is the directory; it is made if it is missing.
	Dir string
	// FS is the file system; nil means the operating system's.
	FS FS
	// Clock dates the expiry of producer ids; nil means the system's.
	Clock base.Clock
	// Logger receives diagnostics; nil means none.
	Logger *slog.Logger
	// CacheBytes bounds the block cache. Default 32 MiB.
	CacheBytes int64
	// MemTableBytes is the size of one memtable, of which up to four exist under
	// load. Default 16 MiB.
	MemTableBytes int64
	// TailCacheBytes bounds the recent batches kept in memory. Default 32 MiB.
	TailCacheBytes int64
	// ProducerIDExpiration is for how long a silent producer is remembered
	// (producer.id.expiration.ms). Default one day. In a replicated partition it is
	// always one day: see replicatedProducerExpiration.
	ProducerIDExpiration time.Duration
	// OnFail is called once, when the store stops taking writes. It must not
	// block nor call the store: what it is called from may hold Pebble's locks.
	OnFail func(error)

	// blobMinAge is how old a file of values must be to be written anew. One
	// minute; tests do not wait for that.
	blobMinAge time.Duration
}

// blobGarbageRatio is the share of all values that must be unused before files
// that are used in part are written anew.
const blobGarbageRatio = 0.5

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Clock == nil {
		o.Clock = base.SystemClock{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 32 << 20
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 16 << 20
	}
	if o.TailCacheBytes == 0 {
		o.TailCacheBytes = 32 << 20
	}
	if o.ProducerIDExpiration == 0 {
		o.ProducerIDExpiration = 24 * time.Hour
	}
	if o.blobMinAge == 0 {
		o.blobMinAge = time.Minute
	}
	return o
}

// Store is the database of one node. All methods may be called concurrently.
type Store struct {
	opts      Options
	db        *pebble.DB
	fs        *failStopFS
	committer committer
	tail      tailCache
	counters  counters
	garbage   garbage
	raft      raftSide

	closed  atomic.Bool
	gate    sync.RWMutex   // held to enter reads, and by Close to end that
	reads   sync.WaitGroup // of the database, which stays open for them
	failure atomic.Pointer[error]
	opened  atomic.Bool // OnFail may be called
	wedged  atomic.Bool // a panic left Pebble's commit pipeline locked

	mu         sync.Mutex
	partitions map[base.PartitionID]*Partition
	batches    []*pebble.Batch // spare, at most maxCommitsInFlight
}

// Open opens or makes the store in a directory. It returns ErrLocked when
// another process has it, ErrNewerFormat when it is too new, and errors that
// name the file when one is damaged.
func Open(opts Options) (*Store, error) {
	opts = opts.withDefaults()
	if err := resolveDir(&opts); err != nil {
		return nil, err
	}
	s := &Store{
		opts:       opts,
		partitions: make(map[base.PartitionID]*Partition),
		tail:       tailCache{limitBytes: opts.TailCacheBytes},
	}
	s.fs = newFailStopFS(opts.FS, opts.Dir, func(err error) { _ = s.fail(err) })
	s.committer.idle.L = &s.committer.mu
	db, err := s.openDB()
	if err != nil {
		return nil, err
	}
	s.db = db
	if err := errors.Join(s.usableDisk(), s.checkFormat()); err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", s.opts.Dir, err), s.Close())
	}
	s.opened.Store(true)
	return s, nil
}

// openDB opens Pebble; it panics on some kinds of damage.
func (s *Store) openDB() (db *pebble.DB, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("opening %s: %w: %v", s.opts.Dir, ErrCorrupt, r)
		}
	}()
	lock, err := pebble.LockDirectory(s.opts.Dir, s.opts.FS)
	if err != nil {
		for _, other := range []error{fs.ErrPermission, syscall.EROFS, syscall.ENOSPC, syscall.EIO, syscall.EMFILE} {
			if errors.Is(err, other) {
				return nil, fmt.Errorf("opening %s: %w", s.opts.Dir, err)
			}
		}
		return nil, fmt.Errorf("opening %s: %w (%w)", s.opts.Dir, ErrLocked, err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := s.checkFiles(); err != nil {
		return nil, err
	}
	o := s.pebbleOptions()
	o.Lock = lock
	granter := newGranter()
	o.Experimental.CompactionScheduler = granter
	defer func() {
		if db == nil {
			s.fs.release()
			granter.Unregister()
		}
	}()
	if db, err = pebble.Open(s.opts.Dir, o); err != nil {
		return nil, errors.Join(s.usableDisk(), s.openError(err))
	}
	return db, nil
}

// checkFiles looks at what Pebble would overlook, or tell in its own words: a
// format of a later version, and a manifest marker that is missing, in which
// case it would begin anew.
func (s *Store) checkFiles() error {
	names, err := s.opts.FS.List(s.opts.Dir)
	if err != nil {
		return s.openError(err)
	}
	for _, name := range names {
		// marker.format-version.<number of the marker>.<format>
		_, marker, _ := strings.Cut(name, "marker.format-version.")
		_, format, _ := strings.Cut(marker, ".")
		if v, err := strconv.ParseUint(format, 10, 64); err == nil && v > uint64(pebble.FormatNewest) {
			return fmt.Errorf("opening %s: %w: %s says that the database's format is %d, this version reads up to %d",
				s.opts.Dir, ErrNewerFormat, name, v, uint64(pebble.FormatNewest))
		}
	}
	desc, err := pebble.Peek(s.opts.Dir, s.opts.FS)
	if err != nil {
		return s.openError(err)
	}
	if desc.Exists {
		return nil
	}
	for _, name := range names {
		if isTable(name) || strings.HasSuffix(name, ".log") {
			return fmt.Errorf("opening %s: %w: there is %s, but no marker.manifest file that says which MANIFEST is current",
				s.opts.Dir, ErrCorrupt, name)
		}
	}
	return nil
}

// resolveDir makes the directory, and gives it the name that it has in whatever
// way it was named: files are made in it for as long as the store is open, also
// when the process changes its working directory, and the lock within a process
// is on the name.
func resolveDir(o *Options) error {
	onDisk := o.FS == vfs.Default
	if onDisk {
		abs, err := filepath.Abs(o.Dir)
		if err != nil {
			return fmt.Errorf("opening %s: %w", o.Dir, err)
		}
		o.Dir = abs
	}
	if err := makeDir(o.FS, o.Dir); err != nil {
		return fmt.Errorf("creating %s: %w", o.Dir, err)
	}
	if onDisk {
		real, err := filepath.EvalSymlinks(o.Dir)
		if err != nil {
			return fmt.Errorf("opening %s: %w", o.Dir, err)
		}
		o.Dir = real
	}
	return nil
}

// makeDir makes a directory with its parents, and makes them durable: what is
// in it would be lost with the entry of any of them.
func makeDir(fsys FS, dir string) error {
	var made []string
	for d := dir; ; {
		if info, err := fsys.Stat(d); err == nil {
			if !info.IsDir() {
				return fmt.Errorf("%s is not a directory", d)
			}
			break
		}
		parent := fsys.PathDir(d)
		if parent == d {
			break
		}
		made = append(made, parent)
		d = parent
	}
	if err := fsys.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, d := range made {
		f, err := fsys.OpenDir(d)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) openError(err error) error {
	if pebble.IsCorruptionError(err) {
		return fmt.Errorf("opening %s: %w: %w", s.opts.Dir, ErrCorrupt, err)
	}
	return fmt.Errorf("opening %s: %w", s.opts.Dir, err)
}

// pebbleOptions are the settings that the design measured.
func (s *Store) pebbleOptions() *pebble.Options {
	o := &pebble.Options{
		FS:                          tableBufferFS{logStepFS{s.fs}},
		FormatMajorVersion:          pebble.FormatNewest,
		CacheSize:                   s.opts.CacheBytes,
		MemTableSize:                uint64(s.opts.MemTableBytes),
		MemTableStopWritesThreshold: 4,
		MaxOpenFiles:                4096,
		FlushSplitBytes:             128 << 20,
		// Space that retention freed comes back without waiting for a flush.
		FlushDelayDeleteRange:      5 * time.Second,
		CompactionConcurrencyRange: func() (int, int) { return 1, 2 },
		L0CompactionThreshold:      2,
		L0StopWritesThreshold:      1000,
		Logger:                     pebbleLogger{s},
	}
	for i := range o.TargetFileSizes {
		o.TargetFileSizes[i] = 64 << 20
	}
	o.EnsureDefaults()
	o.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
		return pebble.ValueSeparationPolicy{
			Enabled:               true,
			MinimumSize:           256,
			MaxBlobReferenceDepth: maxBlobReferences,
			TargetGarbageRatio:    blobGarbageRatio,
			RewriteMinimumAge:     s.opts.blobMinAge,
		}
	}
	// Batches arrive compressed, or are meant not to be.
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
	o.EventListener = s.events()
	return o
}

// checkFormat refuses a directory that a later version wrote and marks a new one.
func (s *Store) checkFormat() error {
	v, ok, err := s.Get(formatKey)
	if err != nil {
		return err
	}
	if !ok {
		if empty, err := s.isEmpty(); err != nil {
			return err
		} else if !empty {
			return fmt.Errorf("%w: the database has no format record: it is damaged, or of another program", ErrCorrupt)
		}
		return s.Update(func(tx *Tx) error { return tx.Set(formatKey, []byte{formatVersion}) })
	}
	if len(v) != 1 {
		return fmt.Errorf("%w: the format record has %d bytes", ErrCorrupt, len(v))
	}
	if v[0] > formatRaft {
		return fmt.Errorf("%w: its format is %d, this version reads up to %d", ErrNewerFormat, v[0], formatRaft)
	}
	return nil
}

// isEmpty tells whether the database has no key at all.
func (s *Store) isEmpty() (empty bool, err error) {
	defer s.caught("reading", &err)
	it, err := s.db.NewIter(nil)
	if err != nil {
		return false, err
	}
	empty = !it.First()
	return empty, s.readError("the first key", it.Close())
}

// readError makes an error of the database one that says where, and whether a
// file is damaged.
func (s *Store) readError(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case pebble.IsCorruptionError(err):
		return fmt.Errorf("reading %s from %s: %w: %w", what, s.opts.Dir, ErrCorrupt, err)
	default:
		return fmt.Errorf("reading %s from %s: %w", what, s.opts.Dir, err)
	}
}

// Close ends the store. Calls that wait for an fsync are let finish; later ones
// get ErrClosed. After a failure it returns that failure; the database is closed
// all the same, and the directory can be opened again. The second call returns
// nil.
func (s *Store) Close() (err error) {
	s.gate.Lock() // readers that come later see closed
	again := s.closed.Swap(true)
	s.gate.Unlock()
	if again {
		return nil
	}
	s.committer.drain()
	s.reads.Wait()
	if s.wedged.Load() {
		// Pebble holds its own locks for ever, so that its Close would hang.
		return fmt.Errorf("closing %s: the database cannot be closed before the process ends: %w", s.opts.Dir, s.usableDisk())
	}
	defer s.caught("closing the database", &err)
	s.fs.release()
	for _, b := range s.batches {
		err = errors.Join(err, b.Close())
	}
	s.batches = nil
	err = errors.Join(err, s.raft.close())
	if s.usableDisk() == nil {
		// Nothing is left in the write-ahead log then: the tables have checksums for
		// all that they hold, and the next Open has nothing to replay.
		err = errors.Join(err, s.db.Flush())
	}
	if err = errors.Join(err, s.db.Close()); s.usableDisk() != nil {
		err = errors.Join(s.usableDisk(), err)
	}
	if err != nil {
		return fmt.Errorf("closing %s: %w", s.opts.Dir, err)
	}
	return nil
}

// caught, deferred, makes an error of a panic of Pebble, which meets some
// kinds of damage with one.
func (s *Store) caught(doing string, err *error) {
	if r := recover(); r != nil {
		*err = errors.Join(*err, fmt.Errorf("%s in %s: %w: %v", doing, s.opts.Dir, ErrCorrupt, r))
	}
}

// usable returns ErrClosed after Close.
func (s *Store) usable() error {
	if s.closed.Load() {
		return ErrClosed
	}
	return nil
}

// beginRead keeps the database open until endRead. Reads go on after a failed
// write, because what is durable stays readable.
func (s *Store) beginRead() error {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if s.closed.Load() {
		return ErrClosed
	}
	s.reads.Add(1)
	return nil
}

func (s *Store) endRead() { s.reads.Done() }

// usableDisk returns the first failure of the disk, or nil.
func (s *Store) usableDisk() error {
	if f := s.failure.Load(); f != nil {
		return *f
	}
	return nil
}

// fail makes the store refuse writes from now on and leaves the disk as it is;
// the first cause stays.
func (s *Store) fail(cause error) error {
	err := fmt.Errorf("%w: %w", ErrFailed, cause)
	first := s.failure.CompareAndSwap(nil, &err)
	s.fs.freeze()
	if first {
		s.opts.Logger.Error("storage failed; no more writes are taken", "dir", s.opts.Dir, "err", cause)
		if s.opts.OnFail != nil && s.opened.Load() {
			s.opts.OnFail(err)
		}
	}
	return *s.failure.Load()
}

// Failure returns the error that made the store stop taking writes, or nil.
func (s *Store) Failure() error { return s.usableDisk() }

// Partition returns the partition of an id, which is empty if it was never
// written to.
func (s *Store) Partition(id base.PartitionID) (p *Partition, err error) {
	if err := s.beginRead(); err != nil {
		return nil, err
	}
	defer s.endRead()
	defer s.caught("opening a partition", &err)
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.partitions[id]; ok {
		return p, nil
	}
	p = &Partition{id: id, store: s}
	if err := p.load(); err != nil {
		return nil, err
	}
	s.partitions[id] = p
	return p, nil
}

// Forget lets go of a partition that was dropped, or that was asked for after it
// had been. It must not be used any more.
func (s *Store) Forget(p *Partition) {
	s.mu.Lock()
	if s.partitions[p.id] == p {
		delete(s.partitions, p.id)
	}
	s.mu.Unlock()
}

// Get returns a setting of the node.
func (s *Store) Get(name string) (value []byte, ok bool, err error) {
	if err := s.beginRead(); err != nil {
		return nil, false, err
	}
	defer s.endRead()
	return s.get(metaKey(name))
}

// Scan calls fn for each setting whose name begins with prefix, in the order of
// names. The value is fn's to keep.
func (s *Store) Scan(prefix string, fn func(name string, value []byte) error) (err error) {
	if err := s.beginRead(); err != nil {
		return err
	}
	defer s.endRead()
	defer s.caught("reading settings", &err)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: metaKey(prefix), UpperBound: metaKey(prefix + "\xff")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return s.readError("settings", err)
		}
		if err := fn(string(it.Key()[1:]), append([]byte(nil), v...)); err != nil {
			return err
		}
	}
	return s.readError("settings", it.Error())
}

func (s *Store) get(key []byte) (value []byte, ok bool, err error) { return s.getFrom(s.db, key) }

// getFrom is get from the database or a Pebble snapshot of it.
func (s *Store) getFrom(r pebble.Reader, key []byte) (value []byte, ok bool, err error) {
	defer s.caught("reading a key", &err)
	v, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, s.readError(fmt.Sprintf("key %x", key), err)
	}
	value = append([]byte(nil), v...)
	return value, true, closer.Close()
}

// newBatch returns an empty Pebble batch with room for a commit.
func (s *Store) newBatch() *pebble.Batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.batches); n > 0 {
		b := s.batches[n-1]
		s.batches = s.batches[:n-1]
		return b
	}
	return s.db.NewBatch(pebble.WithMaxRetainedSizeBytes(maxCommitBytes * 4))
}

// releaseBatch keeps a batch for the next commit. A batch of a failed commit
// may still be referenced by Pebble and is left to the garbage collector.
func (s *Store) releaseBatch(b *pebble.Batch, err error) {
	if err != nil {
		return
	}
	b.Reset()
	s.mu.Lock()
	s.batches = append(s.batches, b)
	s.mu.Unlock()
}

// pebbleLogger hands Pebble's messages to the store's logger. Its Fatalf is
// where Pebble would end the process: it fails the store instead.
type pebbleLogger struct{ s *Store }

var _ pebble.Logger = pebbleLogger{}

func (l pebbleLogger) Infof(format string, args ...any) {
	if l.s.opts.Logger.Enabled(context.Background(), slog.LevelDebug) {
		l.s.opts.Logger.Debug(fmt.Sprintf(format, args...))
	}
}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.s.opts.Logger.Warn(fmt.Sprintf(format, args...))
}

func (l pebbleLogger) Fatalf(format string, args ...any) {
	_ = l.s.fail(fmt.Errorf(format, args...))
}

// events are the background happenings that matter to the store.
func (s *Store) events() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			_ = s.fail(fmt.Errorf("in the background: %w", err))
		},
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			// The read that met it returns the error; the rest stays readable.
			s.opts.Logger.Error("damaged file", "file", info.Path, "err", info.Details)
		},
	}
}
