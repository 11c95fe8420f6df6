package raftmeta

import "slices"

// RegisterBroker makes a node known, or known anew after a restart. It is fenced
// until an UnfenceBroker.
//
// A node that comes back under another directory has lost its replicas: they
// become ReplicaLost and are replaced under new ids. While a broker is not
// fenced, its id can be registered from its own directory only. A removed node is
// refused for ever. A registration of the same incarnation again only changes
// what the broker says about itself, and keeps its epoch.
type RegisterBroker struct {
	Node        NodeID // 1 to NodeIDMax
	ClusterID   string // as the node's directory has it; "" is a node without one yet
	Incarnation Incarnation
	Directory   Directory
	RaftAddr    string
	ClientAddr  string
	Rack        string
	Software    string
	MinVersion  MetadataVersion
	MaxVersion  MetadataVersion
}

func (*RegisterBroker) header() (Kind, byte, MetadataVersion) {
	return KindRegisterBroker, 1, MetadataV1
}

func (c *RegisterBroker) encode(e *encoder) {
	e.uvarint(uint64(c.Node))
	e.string(c.ClusterID)
	e.id(c.Incarnation)
	e.id(c.Directory)
	e.string(c.RaftAddr)
	e.string(c.ClientAddr)
	e.string(c.Rack)
	e.string(c.Software)
	e.uvarint(uint64(c.MinVersion))
	e.uvarint(uint64(c.MaxVersion))
}

func decodeRegisterBroker(d *decoder) *RegisterBroker {
	return &RegisterBroker{
		Node:        takeNumber[NodeID](d),
		ClusterID:   d.string(),
		Incarnation: d.id(),
		Directory:   d.id(),
		RaftAddr:    d.string(),
		ClientAddr:  d.string(),
		Rack:        d.string(),
		Software:    d.string(),
		MinVersion:  takeNumber[MetadataVersion](d),
		MaxVersion:  takeNumber[MetadataVersion](d),
	}
}

func (c *RegisterBroker) apply(img *Image, result *Result) *Error {
	if err := c.check(img); err != nil {
		return err
	}
	b := &Broker{
		ID: c.Node, Incarnation: c.Incarnation, Directory: c.Directory, Epoch: img.index,
		RaftAddr: c.RaftAddr, ClientAddr: c.ClientAddr, Rack: c.Rack,
		Software: c.Software, MinVersion: c.MinVersion, MaxVersion: c.MaxVersion,
		Fenced: true,
	}
	if old := img.Broker(c.Node); old != nil {
		b.Draining = old.Draining
		if old.Incarnation == c.Incarnation && old.Directory == c.Directory {
			b.Epoch, b.Fenced = old.Epoch, old.Fenced
		}
		if old.Directory != c.Directory {
			img.loseReplicas(c.Node)
		}
	}
	img.putBroker(b)
	result.Epoch = b.Epoch
	return nil
}

// check refuses a registration that is wrong or does not go with the others.
func (c *RegisterBroker) check(img *Image) *Error {
	if c.ClusterID != "" && c.ClusterID != img.clusterID {
		return refuse(ClusterMismatch, "node %d belongs to cluster %q, and this is %q", c.Node, c.ClusterID, img.clusterID)
	}
	if c.Node == 0 || c.Node > NodeIDMax {
		return refuse(InvalidRequest, "node id %d is not within 1 and %d", c.Node, NodeIDMax)
	}
	if c.RaftAddr == "" || c.ClientAddr == "" {
		return refuse(InvalidRequest, "node %d registers without a Raft address or without a client address", c.Node)
	}
	if v := img.settings.MetadataVersion; v < c.MinVersion || v > c.MaxVersion {
		return refuse(UnsupportedVersion, "node %d (%s) understands metadata versions %d to %d, and the cluster uses %d", c.Node, c.Software, c.MinVersion, c.MaxVersion, v)
	}
	old := img.Broker(c.Node)
	if old != nil {
		switch {
		case old.Removed:
			return refuse(NodeRemoved, "node %d was removed from the cluster; it can only come back under another id and with an empty directory", c.Node)
		case old.Directory != c.Directory && !old.Fenced:
			return refuse(NodeIDInUse, "node %d is alive at %s; a second node cannot have its id", c.Node, old.RaftAddr)
		case old.Directory == c.Directory && old.RaftAddr != c.RaftAddr:
			return refuse(InvalidRequest, "node %d has Raft address %s, which cannot become %s: remove the node and add it under another id", c.Node, old.RaftAddr, c.RaftAddr)
		}
	}
	for b := range img.Brokers() {
		switch {
		case b.ID == c.Node:
		case b.RaftAddr == c.RaftAddr:
			return refuse(AddressInUse, "Raft address %s of node %d is node %d's", c.RaftAddr, c.Node, b.ID)
		case b.ClientAddr == c.ClientAddr:
			return refuse(AddressInUse, "client address %s of node %d is node %d's", c.ClientAddr, c.Node, b.ID)
		}
	}
	return nil
}

// loseReplicas marks the replicas of a node whose directory is gone. A move that
// is to bring one there brings it under a new id.
func (img *Image) loseReplicas(node NodeID) {
	for s := range img.ShardsOn(node) {
		c := s.clone()
		for i, r := range c.Replicas {
			if r.Node == node {
				c.Replicas[i].State = ReplicaLost
			}
		}
		switch {
		case slices.Contains(c.Target, node):
			c.add(node, ReplicaAdding)
		case slices.Contains(c.Observers, node):
			c.add(node, ReplicaAddingObserver)
		}
		img.putShard(c)
	}
}

// A BrokerEpoch names one registration of a broker.
type BrokerEpoch struct {
	Node  NodeID
	Epoch RaftIndex // Broker.Epoch
}

func (c *BrokerEpoch) encode(e *encoder) {
	e.uvarint(uint64(c.Node))
	e.uvarint(uint64(c.Epoch))
}

func decodeBrokerEpoch(d *decoder) BrokerEpoch {
	return BrokerEpoch{Node: takeNumber[NodeID](d), Epoch: takeNumber[RaftIndex](d)}
}

// broker returns the broker if the registration is its newest.
func (c *BrokerEpoch) broker(img *Image) (*Broker, *Error) {
	b, err := img.present(c.Node)
	if err != nil {
		return nil, err
	}
	if b.Epoch != c.Epoch {
		return nil, refuse(StaleEpoch, "node %d has broker epoch %d, not %d", c.Node, b.Epoch, c.Epoch)
	}
	return b, nil
}

// present returns a broker that is not removed.
func (img *Image) present(node NodeID) (*Broker, *Error) {
	b := img.Broker(node)
	switch {
	case b == nil:
		return nil, refuse(UnknownNode, "node %d is not known", node)
	case b.Removed:
		return nil, refuse(NodeRemoved, "node %d was removed from the cluster", node)
	}
	return b, nil
}

// UnfenceBroker says that the node is alive again.
type UnfenceBroker struct{ BrokerEpoch }

// FenceBroker says that the node is taken for dead.
type FenceBroker struct{ BrokerEpoch }

func (*UnfenceBroker) header() (Kind, byte, MetadataVersion) { return KindUnfenceBroker, 1, MetadataV1 }
func (*FenceBroker) header() (Kind, byte, MetadataVersion)   { return KindFenceBroker, 1, MetadataV1 }

func (c *UnfenceBroker) apply(img *Image, _ *Result) *Error { return c.fence(img, false) }
func (c *FenceBroker) apply(img *Image, _ *Result) *Error   { return c.fence(img, true) }

func (c *BrokerEpoch) fence(img *Image, fenced bool) *Error {
	b, err := c.broker(img)
	if err == nil && b.Fenced != fenced {
		changed := *b
		changed.Fenced = fenced
		img.putBroker(&changed)
	}
	return err
}

// DrainBroker says that the node is to lose its replicas, or with Cancel that it
// may keep what it has. The moves are commands of their own (PlanDrain).
type DrainBroker struct {
	Node   NodeID
	Cancel bool
}

func (*DrainBroker) header() (Kind, byte, MetadataVersion) { return KindDrainBroker, 1, MetadataV1 }

func (c *DrainBroker) encode(e *encoder) {
	e.uvarint(uint64(c.Node))
	e.bool(c.Cancel)
}

func (c *DrainBroker) apply(img *Image, _ *Result) *Error {
	b, err := img.present(c.Node)
	if err == nil && b.Draining == c.Cancel {
		changed := *b
		changed.Draining = !c.Cancel
		img.putBroker(&changed)
	}
	return err
}

// RemoveBroker removes a node that has no replicas any more, but for one of the
// metadata, by which it learns of its removal. Its id never returns. PlanMetadata then
// takes that replica out. The last node that votes on the metadata cannot be removed.
type RemoveBroker struct {
	Node NodeID
}

func (*RemoveBroker) header() (Kind, byte, MetadataVersion) { return KindRemoveBroker, 1, MetadataV1 }

func (c *RemoveBroker) encode(e *encoder) { e.uvarint(uint64(c.Node)) }

func (c *RemoveBroker) apply(img *Image, _ *Result) *Error {
	if b := img.Broker(c.Node); b != nil && b.Removed {
		return nil
	}
	b, err := img.present(c.Node)
	if err != nil {
		return err
	}
	var shards []ShardID
	for s := range img.ShardsOn(c.Node) {
		if s.Kind != ShardMetadata || len(s.Voters()) == 1 && s.Voters()[0] == c.Node {
			shards = append(shards, s.ID)
		}
	}
	if len(shards) > 0 {
		return refuse(HasReplicas, "node %d has replicas of %s (%s); drain it first", c.Node, plural(len(shards), "shard"), join10(shards))
	}
	changed := *b
	changed.Removed, changed.Fenced, changed.Draining = true, true, false
	img.putBroker(&changed)
	return nil
}
