package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/recordbatch"
	"github.com/leatlog/leat/internal/store"
)

// nodeID is the id of a standalone node, and leaderEpoch the epoch in which it leads
// all partitions.
const (
	nodeID      int32 = 1
	leaderEpoch int32 = 0
)

// Backend is what the listener serves: a Log. Its methods may be called
// concurrently. Calls that change something return once that is durable.
type Backend interface {
	// Code tells an error of the backend in Kafka's terms.
	Code(err error) Code
	// Clock is the Log's clock.
	Clock() base.Clock
	// ClusterID returns the id of the Log, which never changes.
	ClusterID() string

	// Topic and TopicByID return nil if there is no such topic; Topics returns all
	// in the order of their names.
	Topic(name string) Topic
	TopicByID(id [16]byte) Topic
	Topics() []Topic
	// UseTopic is Topic, and makes the topic where the Log is set to do so
	// (auto.create.topics.enable).
	UseTopic(ctx context.Context, name string) (Topic, error)
	// CreateTopic makes a topic. With validateOnly it checks what could be checked
	// and makes nothing; the topic is nil then. partitions is -1 for the default.
	CreateTopic(ctx context.Context, name string, partitions int32, configs []Config, validateOnly bool) (Topic, error)
	// DeleteTopic removes a topic.
	DeleteTopic(ctx context.Context, t Topic) error
	// AddPartitions makes a topic have total partitions.
	AddPartitions(ctx context.Context, name string, total int32, validateOnly bool) error
	// AlterConfigs changes properties of a topic, all or none.
	AlterConfigs(ctx context.Context, name string, changes []ConfigChange, validateOnly bool) error
	// DeleteRecords moves the log start of a partition and returns where it is; -1
	// stands for the high watermark.
	DeleteRecords(ctx context.Context, t Topic, partition int32, before base.Offset) (base.Offset, error)

	// Append stores batches as store.Append does.
	Append(appends []*store.Append, hooks store.AppendHooks) error
	// OffsetForTime returns the first record whose timestamp is ms or later;
	// found is false without one.
	OffsetForTime(p *store.Partition, ms int64) (at base.Offset, timestamp int64, found bool, err error)
	// NewProducerID returns an id that no producer ever has again.
	NewProducerID() (int64, error)

	// ServeGroup answers a request to the group coordinator. The request is one of
	// the group APIs that this package advertises.
	ServeGroup(ctx context.Context, c Client, req kmsg.Request) kmsg.Response
}

// Topic is a topic of the backend.
type Topic interface {
	Name() string
	UniqueID() [16]byte
	IsInternal() bool
	NumPartitions() int
	// Replica returns where a partition is stored.
	Replica(partition int32) (*store.Partition, error)
	// Rules returns what produced batches have to obey now.
	Rules() Rules
	// Properties returns the effective config by Kafka's names. own tells those
	// that the topic itself sets.
	Properties() (all map[string]string, own map[string]bool)
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

// ConfigChange is one change of IncrementalAlterConfigs.
type ConfigChange struct {
	Config
	// Delete makes the property inherit again.
	Delete bool
}

// Client is who sent a request.
type Client struct {
	ID   string // what it calls itself
	Host string // its address, without the port
}
