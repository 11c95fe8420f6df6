package store

import (
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// granter lets Pebble run as many compactions as its options allow. It does
// what Pebble's own does, but belongs to the store: an Open that fails leaves
// the goroutine of Pebble's own behind, with all that it holds on to.
//
// Permissions are given by TrySchedule, and by the goroutine whenever there may
// be room for more: it alone calls back into the database, without a lock.
type granter struct {
	poke chan struct{} // of capacity 1: there may be room
	stop chan struct{} // closed by Unregister
	wg   sync.WaitGroup

	mu      sync.Mutex
	db      pebble.DBForCompaction // nil before Register
	running int
	stopped bool
}

var (
	_ pebble.CompactionScheduler   = (*granter)(nil)
	_ pebble.CompactionGrantHandle = (*granter)(nil)
)

func newGranter() *granter {
	return &granter{poke: make(chan struct{}, 1), stop: make(chan struct{})}
}

// Register begins to serve a database.
func (g *granter) Register(_ int, db pebble.DBForCompaction) {
	g.mu.Lock()
	g.db = db
	g.mu.Unlock()
	g.wg.Go(func() {
		for {
			select {
			case <-g.poke:
				g.grant()
			case <-g.stop:
				return
			}
		}
	})
}

// Unregister ends it; nothing is granted once it has returned. It may be called
// twice, and without Register.
func (g *granter) Unregister() {
	g.mu.Lock()
	if !g.stopped {
		g.stopped = true
		close(g.stop)
	}
	g.mu.Unlock()
	g.wg.Wait()
}

// take counts one more compaction if there is room.
func (g *granter) take() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped || g.running >= g.db.GetAllowedWithoutPermission() {
		return false
	}
	g.running++
	return true
}

func (g *granter) giveBack() {
	g.mu.Lock()
	g.running--
	g.mu.Unlock()
}

func (g *granter) grant() {
	for g.take() {
		if waiting, _ := g.db.GetWaitingCompaction(); !waiting || !g.db.Schedule(g) {
			g.giveBack()
			return
		}
	}
}

// TrySchedule gives a permission if there is room.
func (g *granter) TrySchedule() (bool, pebble.CompactionGrantHandle) {
	if !g.take() {
		return false, nil
	}
	return true, g
}

// UpdateGetAllowedWithoutPermission tells that there may be room for more.
func (g *granter) UpdateGetAllowedWithoutPermission() {
	select {
	case g.poke <- struct{}{}:
	default:
	}
}

// Started is part of a permission; nothing is measured.
func (g *granter) Started() {}

// MeasureCPU is part of a permission; nothing is measured.
func (g *granter) MeasureCPU(pebble.CompactionGoroutineKind) {}

// CumulativeStats is part of a permission; nothing is measured.
func (g *granter) CumulativeStats(pebble.CompactionGrantHandleStats) {}

// Done ends a compaction.
func (g *granter) Done() {
	g.giveBack()
	g.UpdateGetAllowedWithoutPermission()
}
