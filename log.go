package leat

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/leatlog/leat/internal/store"
)

// maxDecompressedBytes bounds what one batch may unpack to.
const maxDecompressedBytes = 1 << 30

// Log is an open directory with its topics. It owns every goroutine that its
// producers, consumers and groups run. All methods may be called concurrently.
type Log struct {
	cfg      Config
	store    *store.Store
	appender appender // of all producers
	catalog  catalog
	upkeep   upkeep
	metrics  logMetrics
	labels   labels
	groups   *groups
	cluster  *cluster // nil: standalone

	ctx    context.Context // ends with the Log
	cancel context.CancelFunc
	wg     sync.WaitGroup // background goroutines

	mu       sync.Mutex
	handOver sync.Once // of what a node leads, before closing
	closing  bool
	closed   chan struct{} // closed when Close is done
	closeErr error
	children map[child]struct{}
	calls    sync.WaitGroup // calls under way
}

// child is a producer, consumer or group member, closed with its Log.
type child interface{ closeWithLog() error }

// Open opens the Log in a directory, or makes it. ctx bounds the opening only.
// It returns a *ConfigError, ErrLocked, ErrNewerFormat, ErrCorrupt, or the error
// of the file system.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	if err := contextError(ctx); err != nil {
		return nil, err
	}
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	l := &Log{cfg: cfg, closed: make(chan struct{}), children: make(map[child]struct{}), upkeep: newUpkeep(), labels: newLabels(cfg.Dir)}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.groups = newGroups(l)
	s, err := store.Open(store.Options{
		Dir:                  cfg.Dir,
		FS:                   cfg.fs,
		Clock:                cfg.Clock,
		Logger:               cfg.Logger,
		CacheBytes:           cfg.CacheBytes,
		MemTableBytes:        cfg.MemTableBytes,
		TailCacheBytes:       cfg.TailCacheBytes,
		ProducerIDExpiration: cfg.ProducerIDExpiration,
		OnFail:               cfg.Hooks.StorageFailed,
	})
	if err != nil {
		return nil, fmt.Errorf("leat: %w", err)
	}
	l.store = s
	l.appender = localAppender{s}
	l.catalog = catalog{log: l, topics: make(map[string]*Topic), byID: make(map[TopicID]*Topic)}
	if err := l.openTopics(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	l.startUpkeep()
	return l, nil
}

// openTopics makes the topics known: those of the directory, or of the cluster that the
// Log is a node of.
func (l *Log) openTopics(ctx context.Context) (err error) {
	if l.cfg.Cluster != nil {
		if l.cluster, err = openCluster(ctx, l); err != nil {
			return err
		}
		l.catalog.store, l.appender = l.cluster.topics, clusterAppender{l.cluster}
		if err = l.cluster.serveClients(); err != nil {
			return errors.Join(err, l.cluster.close())
		}
		return nil
	}
	l.catalog.store = localTopics{&l.catalog, l.store}
	if err = refuseClustered(l.store, l.cfg.Dir); err == nil {
		err = l.catalog.store.load()
	}
	if err != nil {
		return fmt.Errorf("leat: %s: %w", l.cfg.Dir, err)
	}
	return nil
}

// begin admits a call; end must follow if it returns nil.
func (l *Log) begin(ctx context.Context) error {
	if err := contextError(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return ErrClosed
	}
	if l.cluster != nil && l.cluster.removed.Load() {
		return ErrNodeRemoved
	}
	l.calls.Add(1)
	return nil
}

// contextError returns the context's error, or a *ConfigError for a nil one.
func contextError(ctx context.Context) error {
	if ctx == nil {
		return &ConfigError{Property: "ctx", Value: "nil", Rule: "must not be nil"}
	}
	return ctx.Err()
}

func (l *Log) end() { l.calls.Done() }

// adopt makes c be closed with the Log; it fails when the Log is closing.
func (l *Log) adopt(c child) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return ErrClosed
	}
	l.children[c] = struct{}{}
	return nil
}

func (l *Log) release(c child) {
	l.mu.Lock()
	delete(l.children, c)
	l.mu.Unlock()
}

// mapError tells an error of the store in the package's terms.
func (l *Log) mapError(err error) error {
	if errors.Is(err, store.ErrClosed) {
		return ErrClosed
	}
	return err
}

// Close takes no more calls, lets producers finish what they hold, ends
// consumers and group members, waits for every goroutine, and closes the
// directory. It returns the first error of that, and the same on a second call.
// A Poll that waits returns ErrClosed.
func (l *Log) Close() error {
	if l.cluster != nil {
		l.handOver.Do(l.cluster.handOver)
	}
	l.mu.Lock()
	if l.closing {
		l.mu.Unlock()
		<-l.closed
		return l.closeErr
	}
	l.closing = true
	children := make([]child, 0, len(l.children))
	for c := range l.children {
		children = append(children, c)
	}
	l.mu.Unlock()
	if l.cluster != nil {
		l.cluster.endChanges()
	}

	var errs []error
	for _, c := range children {
		errs = append(errs, c.closeWithLog())
	}
	l.cancel()
	l.wg.Wait()
	l.calls.Wait()
	errs = append(errs, l.groups.close())
	if l.cluster != nil {
		errs = append(errs, l.cluster.close())
	}
	errs = append(errs, l.store.Close())
	l.closeErr = errors.Join(errs...)
	close(l.closed)
	return l.closeErr
}

var errClusterCheckpoint = errors.New("leat: a node of a cluster cannot be copied by itself: its replicas would be of two lives; consume the topics elsewhere instead")

// Checkpoint makes a consistent copy of the Log in a directory that must not
// exist, while writes go on. It holds all that was acknowledged before the call,
// and opens as a Log of its own. Files are shared with this Log by hard links
// where the file system allows it, so that it takes little time and space. A node of a
// cluster is refused.
func (l *Log) Checkpoint(ctx context.Context, dir string) error {
	if err := l.begin(ctx); err != nil {
		return err
	}
	defer l.end()
	if dir == "" {
		return &ConfigError{Property: "dir", Rule: "must name a directory to make"}
	}
	if l.cluster != nil {
		return errClusterCheckpoint
	}
	return l.mapError(l.store.Checkpoint(dir))
}
