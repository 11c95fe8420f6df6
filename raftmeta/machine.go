package raftmeta

import (
	"sync"
	"sync/atomic"
)

// A Machine is the replicated state machine of the metadata: commands in, images
// out. The same commands at the same indexes make the same images, results and
// snapshots on every node.
//
// Apply, ApplyCommand and Restore must not be called concurrently with each other; everything
// else may be, with all.
type Machine struct {
	image  atomic.Pointer[Image]
	halted atomic.Pointer[Error] // once set, the image stays as it is

	mu       sync.Mutex
	watchers map[*Watcher]struct{}
}

// NewMachine returns a machine with the image of a cluster that is not
// bootstrapped, at index 0.
func NewMachine() *Machine {
	m := &Machine{watchers: make(map[*Watcher]struct{})}
	m.image.Store(emptyImage())
	return m
}

// Image returns the newest image.
func (m *Machine) Image() *Image { return m.image.Load() }

// Err returns nil, or why the machine takes no commands any more: the cluster
// uses a metadata version that this software does not know, or an index came
// twice. The node has to stop; the metadata of the others is sound.
func (m *Machine) Err() error {
	if err := m.halted.Load(); err != nil {
		return err
	}
	return nil
}

// Apply is ApplyCommand with the result as bytes, as who hosts the machine wants
// it.
func (m *Machine) Apply(index RaftIndex, command []byte) []byte {
	return m.ApplyCommand(index, command).Encode()
}

// ApplyCommand applies the command at a Raft index, which must be above that of
// the image, and returns the result. A command that cannot be decoded, or is refused,
// changes nothing but the index. It keeps nothing of command. After a failure
// that Err tells, every result has the code Halted.
func (m *Machine) ApplyCommand(index RaftIndex, command []byte) Result {
	if err := m.halted.Load(); err != nil {
		return Result{Code: Halted, Message: err.Message, Index: index}
	}
	old := m.image.Load()
	if index <= old.index {
		return m.halt(index, refuse(Halted, "index %d was applied again, after %d", index, old.index))
	}
	next := *old
	next.index = index
	result := Result{Index: index}
	if err := apply(&next, command, &result); err != nil {
		next = *old
		next.index = index
		result = Result{Code: err.Code, Message: err.Message, Index: index}
	} else if v := next.settings.MetadataVersion; v > MetadataVersionMax {
		// The others go on with it; what follows cannot be understood here.
		return m.halt(index, refuse(Halted, "the cluster uses metadata version %d, and this software knows those up to %d: upgrade this node", v, MetadataVersionMax))
	}
	m.publish(&next)
	return result
}

func apply(img *Image, command []byte, result *Result) *Error {
	c, err := decodeCommand(command)
	if err != nil {
		return err
	}
	kind, version, since := c.header()
	if img.settings.MetadataVersion < since {
		// Refused as a node that does not know it refuses it.
		return refuse(Unsupported, "version %d of command %v is not known", version, kind)
	}
	if img.clusterID == "" && kind != KindBootstrap {
		return refuse(NotBootstrapped, "the cluster has no id yet")
	}
	return c.apply(img, result)
}

// halt ends the machine; what waits for it learns of it.
func (m *Machine) halt(index RaftIndex, err *Error) Result {
	m.halted.Store(err)
	m.wake()
	return Result{Code: Halted, Message: err.Message, Index: index}
}

func (m *Machine) publish(img *Image) {
	m.image.Store(img)
	m.wake()
}

func (m *Machine) wake() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for w := range m.watchers {
		w.wake()
	}
}
