package kafka

import (
	"github.com/leatlog/leat/internal/recordbatch"
	"github.com/leatlog/leat/internal/store"
)

// NewTopic is a topic to be made.
type NewTopic struct {
	Name string
	// Partitions and ReplicationFactor are -1 for the default. With an Assignment both
	// follow from it.
	Partitions        int32
	ReplicationFactor int16
	// Assignment is nil, or has the replicas of each partition by its number.
	Assignment [][]int32
	Configs    []Config
}

// Rules are what a topic's config says about produced batches.
type Rules struct {
	Limits recordbatch.Limits
	// Codec is how batches are stored, if Recompress is set.
	Recompress bool
	Codec      recordbatch.Codec
	// AppendTime is the time that all records get, in milliseconds since 1970,
	// with Limits.LogAppendTime.
	AppendTime int64
}

// Config is a property of a topic; a nil value stands for its default.
type Config struct {
	Name  string
	Value *string
}

// ConfigOp is what happens to a property.
type ConfigOp int8

// The operations of KIP-339.
const (
	// ConfigSet gives the property a value.
	ConfigSet ConfigOp = iota
	// ConfigDelete makes it inherit again.
	ConfigDelete
	// ConfigAppend adds the elements of the value to a property that is a list, and
	// ConfigSubtract removes them. An element that is there, or not, already is none.
	ConfigAppend
	ConfigSubtract
)

// ConfigChange is one change of a property.
type ConfigChange struct {
	Name  string
	Op    ConfigOp
	Value string // but for ConfigDelete
}

// ConfigAlteration changes a topic's config.
type ConfigAlteration struct {
	// Replace makes all properties inherit before the changes are made (AlterConfigs).
	Replace bool
	// Changes name each property once.
	Changes []ConfigChange
	// ValidateOnly checks the result and keeps nothing of it.
	ValidateOnly bool
}

// Append is a batch on its way into a partition.
type Append struct {
	// Replica is the Location's.
	Replica Replica
	// Append has the batch, decoded in its Header, the leader epoch of the Location, and
	// what became of it; the batch is the backend's. Its Partition is nil: it is for a
	// backend that hands it to a store.
	//
	// Err may be a *NotLeaderError, where the leader changed since.
	store.Append
}
