package replication

import (
	"context"
	"encoding/binary"
	"fmt"
	"path"
	"sync"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftio"
	pb "github.com/lni/dragonboat/v4/raftpb"

	"github.com/leatlog/leat/internal/base"
)

// transportFactory gives dragonboat its side of a Transport.
type transportFactory struct {
	t *Transport
	// check, if not nil, refuses messages with an error, which ends the
	// connection.
	check func(m *pb.Message) error
}

var _ config.TransportFactory = transportFactory{}

func (f transportFactory) Create(c config.NodeHostConfig, messages raftio.MessageHandler, chunks raftio.ChunkHandler) raftio.ITransport {
	return &raftTransport{t: f.t, check: f.check, deployment: c.GetDeploymentID(), messages: messages, chunks: chunks}
}

func (f transportFactory) Validate(addr string) bool { return isAddress(addr) }

// raftTransport is a Transport as dragonboat sees it, from Start to Close.
type raftTransport struct {
	t          *Transport
	check      func(m *pb.Message) error
	deployment uint64

	mu       sync.RWMutex // held for reading while a handler runs
	messages raftio.MessageHandler
	chunks   raftio.ChunkHandler
	closed   bool
}

var _ raftio.ITransport = (*raftTransport)(nil)

func (r *raftTransport) Name() string { return "leat" }

// Start lets the peers' messages in.
func (r *raftTransport) Start() error {
	if !r.t.raft.CompareAndSwap(nil, r) {
		return fmt.Errorf("replication: the transport of node %d is in use by another Node", r.t.cfg.NodeID)
	}
	return nil
}

// Close waits for the handlers; none is called after it.
func (r *raftTransport) Close() error {
	r.t.raft.CompareAndSwap(r, nil)
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.t.closeConns(func(c *conn) bool { return c.purpose == purposeMessages || c.purpose == purposeSnapshot })
	return nil
}

// deliver runs f unless the node is closed or sealed.
func (r *raftTransport) deliver(f func()) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.closed || r.t.sealed.Load() {
		return ErrClosed
	}
	f()
	return nil
}

func (r *raftTransport) GetConnection(ctx context.Context, addr string) (raftio.IConnection, error) {
	s, err := r.connect(ctx, addr, purposeMessages)
	if err != nil {
		return nil, err
	}
	return &messageConn{sender: s, ctx: ctx, raft: r, addr: addr, frames: messageFrames{limit: r.t.cfg.MaxFrameBytes}}, nil
}

func (r *raftTransport) GetSnapshotConnection(ctx context.Context, addr string) (raftio.ISnapshotConnection, error) {
	s, err := r.connect(ctx, addr, purposeSnapshot)
	if err != nil {
		return nil, err
	}
	return &snapshotConn{sender: s}, nil
}

// sender is a dialled connection over which the peer sends nothing.
type sender struct {
	*conn
	ended  chan struct{} // closed by watch
	forget func() bool
}

func (r *raftTransport) connect(ctx context.Context, addr string, p purpose) (*sender, error) {
	c, err := r.t.dial(ctx, addr, p)
	if err != nil {
		return nil, err
	}
	s := &sender{conn: c, ended: make(chan struct{})}
	// A write may take long: the end of ctx ends it.
	s.forget = context.AfterFunc(ctx, func() { c.raw.Close() })
	go s.watch()
	return s, nil
}

// watch notices that the peer closed the connection, which a write would only
// notice some messages later. It ends the connection.
func (s *sender) watch() {
	defer s.t.untrack(s.conn)
	defer close(s.ended)
	defer s.forget()
	_, err := s.r.ReadByte()
	if err == nil {
		s.t.logger.Warn("a peer sent what it should not", "node", s.peer.Node, "addr", s.peer.Addr)
	}
}

// broken tells that the connection has ended.
func (s *sender) broken() error {
	select {
	case <-s.ended:
		return fmt.Errorf("connection to %s: %w", s.peer.Addr, ErrClosed)
	default:
		return nil
	}
}

// Close waits until the connection is gone.
func (s *sender) Close() {
	s.raw.Close()
	<-s.ended
}

// messageConn is for one goroutine.
type messageConn struct {
	*sender
	ctx    context.Context // ends when dragonboat closes its transport
	raft   *raftTransport
	addr   string
	frames messageFrames
}

var _ raftio.IConnection = (*messageConn)(nil)

// SendMessageBatch connects again when the peer has closed the connection, as
// when it was restarted: dragonboat would lose this message, which may be a vote,
// and send no other for a second.
func (m *messageConn) SendMessageBatch(batch pb.MessageBatch) error {
	if m.t.sealed.Load() {
		return ErrClosed
	}
	if m.broken() != nil {
		s, err := m.raft.connect(m.ctx, m.addr, purposeMessages)
		if err != nil {
			return err
		}
		m.sender = s
	}
	return m.frames.each(batch.Requests, func(parts [][]byte) error {
		return m.send(frameMessages, parts...)
	})
}

func (c *conn) serveMessages() error {
	for {
		body, err := c.receive(frameMessages, c.t.timeouts.idle)
		if err != nil {
			return err
		}
		messages, err := decodeMessages(body)
		if err != nil {
			return err
		}
		r := c.t.raft.Load()
		if r == nil {
			return ErrClosed
		}
		for i := range messages {
			if r.check == nil {
				break
			}
			if err := r.check(&messages[i]); err != nil {
				return err
			}
		}
		err = r.deliver(func() {
			r.messages(pb.MessageBatch{
				Requests:      messages,
				DeploymentId:  r.deployment,
				SourceAddress: c.peer.Addr,
				BinVer:        raftio.TransportBinVersion,
			})
		})
		if err != nil {
			return err
		}
	}
}

// maxChunkHeadBytes bounds a chunk without its data: the shard's members and the
// name of a file.
const maxChunkHeadBytes = 64 << 10

type snapshotConn struct {
	*sender
	transfer *Transfer // of the snapshot under way
}

var _ raftio.ISnapshotConnection = (*snapshotConn)(nil)

// SendChunk waits for its share of the bandwidth.
func (s *snapshotConn) SendChunk(c pb.Chunk) error {
	if s.t.sealed.Load() {
		return ErrClosed
	}
	if !s.t.limiter.wait(len(c.Data), s.ended) {
		return s.broken()
	}
	if err := s.broken(); err != nil {
		return err
	}
	if c.ChunkId == 0 || s.transfer == nil {
		s.transfer = s.t.beginTransfer(&c, s.peer.Addr, false)
	}
	data := c.Data
	c.Data = nil
	head, err := c.Marshal()
	if err != nil {
		return err
	}
	if len(head) > maxChunkHeadBytes {
		return &TooLargeError{What: "chunk's header", Size: len(head), Limit: maxChunkHeadBytes}
	}
	if err := s.send(frameChunk, binary.AppendUvarint(nil, uint64(len(head))), head, data); err != nil {
		return err
	}
	s.t.transfers.add(s.transfer, len(data))
	if isLastChunk(&c) {
		s.t.transfers.end(s.transfer, TransferDone)
	}
	return nil
}

func (s *snapshotConn) Close() {
	s.sender.Close()
	if s.transfer != nil {
		s.t.transfers.end(s.transfer, TransferFailed)
	}
}

func isLastChunk(c *pb.Chunk) bool {
	return c.ChunkCount == pb.LastChunkCount || c.ChunkCount == c.ChunkId+1
}

func (t *Transport) beginTransfer(c *pb.Chunk, peer string, incoming bool) *Transfer {
	return t.transfers.begin(Transfer{
		Shard:    base.ShardID(c.ShardID),
		Replica:  base.ReplicaID(c.ReplicaID),
		Index:    base.RaftIndex(c.Index),
		Incoming: incoming,
		Peer:     peer,
	})
}

func (c *conn) serveSnapshots() error {
	var transfer *Transfer
	defer func() {
		if transfer != nil {
			c.t.transfers.end(transfer, TransferFailed)
		}
	}()
	for {
		body, err := c.receive(frameChunk, c.t.timeouts.idle)
		if err != nil {
			return err
		}
		chunk, err := decodeChunk(body)
		if err != nil {
			return err
		}
		if chunk.ChunkId == 0 || transfer == nil {
			transfer = c.t.beginTransfer(&chunk, c.peer.Addr, true)
		}
		r := c.t.raft.Load()
		if r == nil {
			return ErrClosed
		}
		chunk.DeploymentId = r.deployment
		taken := false
		if err := r.deliver(func() { taken = r.chunks(chunk) }); err != nil {
			return err
		}
		if !taken {
			return fmt.Errorf("shard %d: a piece of a Raft snapshot at index %d was not taken", chunk.ShardID, chunk.Index)
		}
		c.t.transfers.add(transfer, len(chunk.Data))
		if isLastChunk(&chunk) {
			c.t.transfers.end(transfer, TransferDone)
		}
	}
}

// decodeChunk decodes the body of a chunk frame: the length of the chunk without
// its data, a uvarint; the chunk in dragonboat's own encoding; the data, which
// alias body.
func decodeChunk(body []byte) (chunk pb.Chunk, err error) {
	d := decoder{buf: body}
	head := d.bytes()
	if d.err != nil {
		return pb.Chunk{}, d.err
	}
	if len(head) > maxChunkHeadBytes {
		return pb.Chunk{}, fmt.Errorf("%w: a chunk's header of %d bytes", ErrBadFrame, len(head))
	}
	// The generated decoder adds lengths without looking for an overflow, which
	// then is an index out of range.
	defer func() {
		if r := recover(); r != nil {
			chunk, err = pb.Chunk{}, fmt.Errorf("%w: a chunk's header: %v", ErrBadFrame, r)
		}
	}()
	if err := chunk.Unmarshal(head); err != nil {
		return pb.Chunk{}, fmt.Errorf("%w: a chunk's header: %w", ErrBadFrame, err)
	}
	// The name goes into a path of this machine.
	names := []string{chunk.Filepath}
	if chunk.HasFileInfo {
		names = append(names, chunk.FileInfo.Filepath)
	}
	for _, name := range names {
		if b := path.Base(name); b == "." || b == ".." || b == "/" || len(b) > 255 {
			return pb.Chunk{}, fmt.Errorf("%w: a chunk of a file named %q", ErrBadFrame, name)
		}
	}
	chunk.Data = d.buf
	return chunk, nil
}
