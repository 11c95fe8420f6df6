package replication

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/lni/dragonboat/v4/raftio"

	"github.com/leatlog/leat/internal/base"
)

// A connection begins with the preamble and a hello of the dialling side, which
// the other answers with the preamble and a welcome. The version is the first
// field of the hello in every version of the protocol, and the reason, the
// version and the detail are the first ones of the welcome.
//
//	hello:   | version u16 | purpose u8 | Raft types' version u32 | node id u64 |
//	         | cluster id string | address string |
//	welcome: | reason u8 | version u16 | detail string | node id u64 | cluster id string |
//
// A string has its length before it, a uvarint.

// purpose is what a connection is for.
type purpose uint8

const (
	purposeMessages purpose = 1
	purposeSnapshot purpose = 2
	purposeCalls    purpose = 3
)

const (
	// maxClusterIDBytes bounds a cluster id; Kafka's have 22 bytes.
	maxClusterIDBytes = 64
	// maxAddressBytes bounds host:port.
	maxAddressBytes = 261
	maxDetailBytes  = 512
)

// RefusalReason is why a peer refused a connection.
type RefusalReason uint8

// The reasons of a refusal. They go over the wire.
const (
	// RefusedVersion: the two speak different versions of the protocol.
	RefusedVersion RefusalReason = 1
	// RefusedCluster: the peer belongs to another cluster.
	RefusedCluster RefusalReason = 2
	// RefusedNode: the node id is the peer's own: two nodes have the same, or a
	// node has dialled itself under a foreign address.
	RefusedNode RefusalReason = 3
	// RefusedNotReady: the peer takes no part in replication yet, or any more.
	RefusedNotReady RefusalReason = 4
	// RefusedFailed: the peer's storage has failed.
	RefusedFailed RefusalReason = 5
)

func (r RefusalReason) String() string {
	switch r {
	case RefusedVersion:
		return "unsupported version"
	case RefusedCluster:
		return "another cluster"
	case RefusedNode:
		return "node id in use"
	case RefusedNotReady:
		return "not ready"
	case RefusedFailed:
		return "storage has failed"
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// Peer is who is at the other end of a connection, as it said itself; with TLS
// it has a certificate of the cluster's authority.
type Peer struct {
	Node      base.NodeID
	ClusterID string // empty before the peer belongs to a cluster
	Addr      string // its Raft address
}

type hello struct {
	purpose purpose
	peer    Peer
}

func (h *hello) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, protocolVersion)
	b = append(b, byte(h.purpose))
	b = binary.BigEndian.AppendUint32(b, raftio.TransportBinVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(h.peer.Node))
	b = appendString(b, h.peer.ClusterID)
	return appendString(b, h.peer.Addr)
}

// decodeHello decodes a hello. One of another version gives a refusal.
func decodeHello(body []byte) (hello, *RefusedError, error) {
	d := decoder{buf: body}
	if v := d.uint16(); d.err == nil && v != protocolVersion {
		return hello{}, &RefusedError{Reason: RefusedVersion,
			Detail: fmt.Sprintf("this node speaks version %d of the peers' protocol, not %d", protocolVersion, v)}, nil
	}
	var h hello
	h.purpose = purpose(d.uint8())
	raftVersion := d.uint32()
	h.peer.Node = base.NodeID(d.uint64())
	h.peer.ClusterID = d.string(maxClusterIDBytes)
	h.peer.Addr = d.string(maxAddressBytes)
	if err := d.finish(); err != nil {
		return hello{}, nil, err
	}
	if h.purpose < purposeMessages || h.purpose > purposeCalls || h.peer.Node == 0 || !isAddress(h.peer.Addr) {
		return hello{}, nil, fmt.Errorf("%w: a hello without a purpose, a node id or an address", ErrBadFrame)
	}
	if raftVersion != raftio.TransportBinVersion {
		return hello{}, &RefusedError{Reason: RefusedVersion,
			Detail: fmt.Sprintf("this node has version %d of Raft's types, not %d", raftio.TransportBinVersion, raftVersion)}, nil
	}
	return h, nil, nil
}

// appendWelcome appends a welcome; a nil refusal is one that lets the peer in.
func appendWelcome(b []byte, refused *RefusedError, self Peer) []byte {
	var detail string
	if refused == nil {
		b = append(b, 0)
	} else {
		b = append(b, byte(refused.Reason))
		detail = refused.Detail
	}
	b = binary.BigEndian.AppendUint16(b, protocolVersion)
	b = appendString(b, detail[:min(len(detail), maxDetailBytes)])
	b = binary.BigEndian.AppendUint64(b, uint64(self.Node))
	return appendString(b, self.ClusterID)
}

// decodeWelcome decodes a welcome from a peer at an address; a refusal is an
// error.
func decodeWelcome(body []byte, addr string) (Peer, error) {
	d := decoder{buf: body}
	reason := RefusalReason(d.uint8())
	version := d.uint16()
	detail := d.string(maxDetailBytes)
	if d.err != nil {
		return Peer{}, d.err
	}
	if reason != 0 {
		return Peer{}, &RefusedError{Addr: addr, Reason: reason, Detail: detail}
	}
	if version != protocolVersion {
		return Peer{}, fmt.Errorf("%w: welcomed in version %d, not %d", ErrBadFrame, version, protocolVersion)
	}
	p := Peer{Addr: addr, Node: base.NodeID(d.uint64()), ClusterID: d.string(maxClusterIDBytes)}
	if err := d.finish(); err != nil {
		return Peer{}, err
	}
	if p.Node == 0 {
		return Peer{}, fmt.Errorf("%w: a welcome without a node id", ErrBadFrame)
	}
	return p, nil
}

// readPreamble fails on what is not of this protocol with the first bytes.
func readPreamble(r io.Reader) error {
	var b [len(preamble)]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("%w: it ends within the preamble", ErrBadFrame)
		}
		return err
	}
	if string(b[:]) != preamble {
		return fmt.Errorf("%w: it begins with %q, which is not the peers' protocol", ErrBadFrame, b[:])
	}
	return nil
}

// admit returns why a peer that greeted may not come in, nil if it may.
func (t *Transport) admit(h *hello) *RefusedError {
	self := t.self()
	switch {
	case t.sealed.Load():
		return &RefusedError{Reason: RefusedFailed, Detail: "this node takes no part until it is restarted on a healthy disk"}
	case h.peer.Node == self.Node && h.peer.Addr != self.Addr:
		return &RefusedError{Reason: RefusedNode,
			Detail: fmt.Sprintf("node id %d is in use by %s", self.Node, self.Addr)}
	case !t.sameCluster(h.purpose, h.peer.ClusterID, self.ClusterID):
		return &RefusedError{Reason: RefusedCluster,
			Detail: fmt.Sprintf("this node belongs to cluster %q, not to %q", self.ClusterID, h.peer.ClusterID)}
	case h.purpose != purposeCalls && t.raft.Load() == nil:
		return &RefusedError{Reason: RefusedNotReady, Detail: "this node takes no part in replication now"}
	}
	return nil
}

// sameCluster tells whether two may talk. Calls are also for those who do not
// belong to a cluster yet.
func (t *Transport) sameCluster(p purpose, a, b string) bool {
	if p == purposeCalls && (a == "" || b == "") {
		return true
	}
	return a == b && a != ""
}
