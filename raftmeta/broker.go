package raftmeta

import (
	"bytes"
	"fmt"
)

// A Broker is a node of the cluster. It is immutable.
type Broker struct {
	ID NodeID
	// Incarnation is of the life that registered last, Directory of what it
	// found on disk.
	Incarnation Incarnation
	Directory   Directory
	// Epoch is the Raft index of that registration: what a node says under an
	// older epoch is refused (Kafka's broker epoch).
	Epoch RaftIndex

	// RaftAddr and ClientAddr are host:port, for peers and for Kafka's clients;
	// no two brokers share one.
	RaftAddr   string
	ClientAddr string
	Rack       string // broker.rack; "" is no rack, which is a rack of its own for each node

	// Software is the version that the node runs, for people. MinVersion and
	// MaxVersion are the metadata versions that it understands.
	Software   string
	MinVersion MetadataVersion
	MaxVersion MetadataVersion

	// Fenced is true from a registration until the first UnfenceBroker, and after
	// a FenceBroker: the node is taken for dead and leads nothing.
	Fenced bool
	// Draining is true for a node that is to lose its replicas; it gets no new ones.
	Draining bool
	// Removed is true for ever once the node was removed; its id never returns.
	Removed bool
}

// BrokerState is what may be done with a broker.
type BrokerState uint8

// The states of a broker. A draining one may be fenced too.
const (
	BrokerActive BrokerState = iota
	BrokerFenced
	BrokerDraining
	BrokerRemoved
)

// String returns the state in lower case.
func (s BrokerState) String() string {
	switch s {
	case BrokerActive:
		return "active"
	case BrokerFenced:
		return "fenced"
	case BrokerDraining:
		return "draining"
	case BrokerRemoved:
		return "removed"
	}
	return fmt.Sprintf("BrokerState(%d)", uint8(s))
}

// State returns the broker's state: the last that holds in the order in which
// they are declared.
func (b *Broker) State() BrokerState {
	switch {
	case b.Removed:
		return BrokerRemoved
	case b.Draining:
		return BrokerDraining
	case b.Fenced:
		return BrokerFenced
	}
	return BrokerActive
}

// Eligible reports whether the broker may get replicas: it is active.
func (b *Broker) Eligible() bool { return b.State() == BrokerActive }

// Live reports whether the broker is neither fenced nor removed.
func (b *Broker) Live() bool { return !b.Fenced && !b.Removed }

// rack returns the broker's failure domain. A node without a rack is one alone.
func (b *Broker) rack() string {
	if b.Rack == "" {
		return fmt.Sprintf("\x00%d", b.ID)
	}
	return b.Rack
}

const (
	brokerFenced = 1 << iota
	brokerDraining
	brokerRemoved
)

func (b *Broker) encode(e *encoder) {
	e.uvarint(uint64(b.ID))
	e.id(b.Incarnation)
	e.id(b.Directory)
	e.uvarint(uint64(b.Epoch))
	e.string(b.RaftAddr)
	e.string(b.ClientAddr)
	e.string(b.Rack)
	e.string(b.Software)
	e.uvarint(uint64(b.MinVersion))
	e.uvarint(uint64(b.MaxVersion))
	var flags byte
	if b.Fenced {
		flags |= brokerFenced
	}
	if b.Draining {
		flags |= brokerDraining
	}
	if b.Removed {
		flags |= brokerRemoved
	}
	e.byte(flags)
}

func decodeBroker(d *decoder) *Broker {
	b := &Broker{
		ID:          takeNumber[NodeID](d),
		Incarnation: d.id(),
		Directory:   d.id(),
		Epoch:       takeNumber[RaftIndex](d),
		RaftAddr:    d.string(),
		ClientAddr:  d.string(),
		Rack:        d.string(),
		Software:    d.string(),
		MinVersion:  takeNumber[MetadataVersion](d),
		MaxVersion:  takeNumber[MetadataVersion](d),
	}
	flags := d.byte()
	if flags&^(brokerFenced|brokerDraining|brokerRemoved) != 0 {
		d.fail("flags %#x of a broker", flags)
	}
	b.Fenced, b.Draining, b.Removed = flags&brokerFenced != 0, flags&brokerDraining != 0, flags&brokerRemoved != 0
	return b
}

func sameEncoding[T interface{ encode(*encoder) }](a, b T) bool {
	var x, y encoder
	a.encode(&x)
	b.encode(&y)
	return bytes.Equal(x, y)
}
