package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/leatlog/leat"
)

// leatCluster is three Logs that form a cluster, with their defaults: an
// acknowledged record has been fsynced by two of them at least.
func leatCluster() System {
	return System{
		Name:        "leat",
		Persistent:  true,
		Partitioned: true,
		Tails:       true,
		Open:        openLeatCluster,
	}
}

// leatNode is the configuration of one node.
func leatNode(dir string, id uint64, raft, client string, seeds map[uint64]string) leat.Config {
	return leat.Config{Dir: dir, Cluster: &leat.ClusterConfig{
		NodeID:     id,
		RaftAddr:   raft,
		ClientAddr: client,
		Seeds:      seeds,
	}}
}

// leatNodes is the configurations of the nodes that form a cluster, with their
// directories below one.
func leatNodes(dir string, n int) ([]leat.Config, error) {
	addrs, err := freeAddrs(2 * n)
	if err != nil {
		return nil, err
	}
	seeds := make(map[uint64]string)
	for i := range n {
		seeds[uint64(i+1)] = addrs[2*i]
	}
	var all []leat.Config
	for i := range n {
		own, err := nodeDir(dir, i+1)
		if err != nil {
			return nil, err
		}
		all = append(all, leatNode(own, uint64(i+1), addrs[2*i], addrs[2*i+1], seeds))
	}
	return all, nil
}

type leatClusterInstance struct {
	logs []*leat.Log
}

func openLeatCluster(ctx context.Context, cfg Config) (_ Instance, err error) {
	nodes, err := leatNodes(cfg.Dir, clusterNodes)
	if err != nil {
		return nil, err
	}
	in := &leatClusterInstance{logs: make([]*leat.Log, len(nodes))}
	defer func() {
		if err != nil {
			err = errors.Join(err, in.Close())
		}
	}()
	if err := in.openAll(ctx, nodes); err != nil {
		return nil, err
	}
	_, err = in.logs[0].CreateTopic(ctx, Topic, leat.TopicConfig{Partitions: cfg.Partitions, ReplicationFactor: clusterNodes})
	if err != nil && !errors.Is(err, leat.ErrTopicExists) {
		return nil, err
	}
	for _, l := range in.logs {
		if err := awaitTopic(ctx, l); err != nil {
			return nil, err
		}
	}
	return in, awaitPreferred(ctx, in.logs[0])
}

// openAll opens the nodes, which wait for each other: when one cannot be opened,
// the others give up.
func (in *leatClusterInstance) openAll(ctx context.Context, nodes []leat.Config) error {
	ctx, cancel := context.WithTimeout(ctx, clusterOpenTimeout)
	defer cancel()
	errs := make([]error, len(nodes))
	var wg sync.WaitGroup
	for i := range nodes {
		wg.Go(func() {
			if in.logs[i], errs[i] = leat.Open(ctx, nodes[i]); errs[i] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// clusterOpenTimeout bounds how long nodes may wait for each other.
const clusterOpenTimeout = time.Minute

// clusterPoll is the time between two looks at what has no event to wait for.
const clusterPoll = 10 * time.Millisecond

// awaitTopic returns when a node knows the topic.
func awaitTopic(ctx context.Context, l *leat.Log) error {
	for {
		_, err := l.Topic(ctx, Topic)
		if !errors.Is(err, leat.ErrUnknownTopic) {
			return err
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// awaitPreferred returns when every shard is led by the node that should, and none
// of them moves.
func awaitPreferred(ctx context.Context, l *leat.Log) error {
	for {
		info, err := l.ClusterInfo(ctx)
		if err != nil {
			return err
		}
		settled := true
		for _, s := range info.Shards {
			if s.Kind != "metadata" && (s.Leader == 0 || s.Leader != s.Preferred || s.Moving) {
				settled = false
			}
		}
		if settled {
			return nil
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("the leaders of the cluster did not settle: %w", err)
		}
	}
}

func pause(ctx context.Context) error {
	select {
	case <-time.After(clusterPoll):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (in *leatClusterInstance) NewProducer(ctx context.Context, goal Goal) (Producer, error) {
	return leatInstance{in.logs[0]}.NewProducer(ctx, goal)
}

func (in *leatClusterInstance) NewConsumer(ctx context.Context) (Consumer, error) {
	return leatInstance{in.logs[0]}.NewConsumer(ctx)
}

// NewSyncProducer gives each writer a producer of its own, on the nodes in turn,
// and a partition of its own as far as there are.
func (in *leatClusterInstance) NewSyncProducer(ctx context.Context, writers int) (SyncProducer, error) {
	t, err := in.logs[0].Topic(ctx, Topic)
	if err != nil {
		return nil, err
	}
	p := &leatClusterSyncProducer{partitions: int32(t.NumPartitions())}
	for i := range writers {
		producer, err := in.logs[i%len(in.logs)].NewProducer(leat.WithPartitioner(leat.ManualPartitioner))
		if err != nil {
			return nil, errors.Join(err, p.Close())
		}
		p.producers = append(p.producers, producer)
	}
	return p, nil
}

// storage adds up what the nodes have written: to their write-ahead logs and to
// tables.
func (in *leatClusterInstance) storage() (wal, tables int64) {
	for _, l := range in.logs {
		m := l.Metrics().Storage
		wal += m.WALBytes
		tables += m.FlushedBytes + m.CompactedBytes
	}
	return wal, tables
}

func (in *leatClusterInstance) Close() error {
	errs := make([]error, len(in.logs))
	var wg sync.WaitGroup
	for i, l := range in.logs {
		if l != nil {
			wg.Go(func() { errs[i] = l.Close() })
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

type leatClusterSyncProducer struct {
	producers  []*leat.Producer
	partitions int32
}

func (p *leatClusterSyncProducer) SendSync(ctx context.Context, writer int, value []byte) error {
	_, err := p.producers[writer].ProduceSync(ctx, leat.Record{
		Topic:     Topic,
		Partition: int32(writer) % p.partitions,
		Value:     value,
	})
	return err
}

func (p *leatClusterSyncProducer) Close() error {
	var errs []error
	for _, producer := range p.producers {
		errs = append(errs, producer.Close())
	}
	return errors.Join(errs...)
}
