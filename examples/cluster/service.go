package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/leatlog/leat"
)

// NodeConfig is what a process of the service is told when it starts.
type NodeConfig struct {
	Dir     string
	Node    uint64
	Raft    string            // where its peers reach it
	Client  string            // where Kafka's clients do, and requests of its peers
	Seeds   map[uint64]string // Raft addresses of the first nodes
	Join    bool              // the cluster is there already
	Verbose bool
}

// service is what each process does. Its Log is a node of the cluster; beyond open,
// nothing here knows of it.
type service struct {
	log   *leat.Log
	files []sourceFile
	acks  *acks
}

// open makes the process a node of the cluster, and returns when it is.
func open(ctx context.Context, cfg *NodeConfig) (*service, error) {
	files, err := loadSource()
	if err != nil {
		return nil, err
	}
	level := slog.LevelError
	if cfg.Verbose {
		level = slog.LevelDebug
	}
	log, err := leat.Open(ctx, leat.Config{
		Dir: cfg.Dir,
		Cluster: &leat.ClusterConfig{
			NodeID:     cfg.Node,
			RaftAddr:   cfg.Raft,
			ClientAddr: cfg.Client,
			Seeds:      cfg.Seeds,
			Join:       cfg.Join,
		},
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})).With("node", cfg.Node),
	})
	if err != nil {
		return nil, err
	}
	return &service{log: log, files: files, acks: newAcks()}, nil
}

// createTopic makes the topic, with three replicas of each partition.
func (s *service) createTopic(ctx context.Context) error {
	_, err := s.log.CreateTopic(ctx, topicName, leat.TopicConfig{Partitions: partitions, ReplicationFactor: replicas})
	return err
}

// leaders returns the node that leads each partition, once all have one other than
// node not.
func (s *service) leaders(ctx context.Context, not uint64) ([]uint64, error) {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		leaders, err := s.currentLeaders(ctx)
		if err != nil {
			return nil, err
		}
		all := true
		for _, n := range leaders {
			all = all && n != 0 && n != not
		}
		if all {
			return leaders, nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *service) currentLeaders(ctx context.Context) ([]uint64, error) {
	t, err := s.log.Topic(ctx, topicName)
	if err != nil {
		return nil, err
	}
	infos, err := t.PartitionInfos(ctx)
	leaders := make([]uint64, len(infos))
	for i, p := range infos {
		leaders[i] = p.Leader
	}
	return leaders, err
}
