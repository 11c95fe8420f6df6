package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// clusterStatus is how cluster status tells of the cluster.
type clusterStatus struct {
	Cluster         string              `json:"cluster"`    // "" if the brokers do not tell
	Controller      int32               `json:"controller"` // -1 if there is none
	Brokers         []brokerStatus      `json:"brokers"`
	Topics          int                 `json:"topics"` // with the brokers' own
	Partitions      int                 `json:"partitions"`
	UnderReplicated []troubledPartition `json:"under_replicated"`
	WithoutLeader   []troubledPartition `json:"without_leader"`
}

type brokerStatus struct {
	ID       int32   `json:"id"`
	Address  string  `json:"address"`
	Rack     *string `json:"rack"`
	Leaders  int     `json:"leaders"`
	Replicas int     `json:"replicas"`
	Draining *bool   `json:"draining"` // null if the brokers do not tell
}

type troubledPartition struct {
	Topic     string  `json:"topic"`
	Partition int32   `json:"partition"`
	Leader    int32   `json:"leader"` // -1 without one
	Replicas  []int32 `json:"replicas"`
	InSync    []int32 `json:"in_sync"`
}

func (a *app) clusterStatusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show brokers, their leaders and replicas, and partitions in trouble",
		Args:  cobra.NoArgs,
	}
	cmd.RunE = a.asks(func(ctx context.Context, client *kgo.Client, _ []string) error {
		m, err := kadm.NewClient(client).Metadata(ctx)
		if err != nil {
			return err
		}
		s := newClusterStatus(&m)
		states, _ := nodeStates(ctx, client, m.Brokers.NodeIDs()...) // other Kafkas cannot tell, and need not
		s.addStates(states)
		return a.print(s, s.write)
	})
	return cmd
}

func newClusterStatus(m *kadm.Metadata) *clusterStatus {
	s := &clusterStatus{Cluster: m.Cluster, Controller: m.Controller, Brokers: []brokerStatus{}, Topics: len(m.Topics),
		UnderReplicated: []troubledPartition{}, WithoutLeader: []troubledPartition{}}
	leaders, replicas := make(map[int32]int), make(map[int32]int)
	m.Topics.EachPartition(func(p kadm.PartitionDetail) { s.count(&p, leaders, replicas) })
	for _, list := range [][]troubledPartition{s.UnderReplicated, s.WithoutLeader} {
		slices.SortFunc(list, func(a, b troubledPartition) int {
			return topicPartition{a.Topic, a.Partition}.compare(topicPartition{b.Topic, b.Partition})
		})
	}
	for _, b := range m.Brokers {
		s.Brokers = append(s.Brokers, brokerStatus{b.NodeID, fmt.Sprintf("%s:%d", b.Host, b.Port), b.Rack, leaders[b.NodeID], replicas[b.NodeID], nil})
	}
	slices.SortFunc(s.Brokers, func(a, b brokerStatus) int { return int(a.ID) - int(b.ID) })
	return s
}

func (s *clusterStatus) addStates(states map[int32]nodeState) {
	for i := range s.Brokers {
		if state, ok := states[s.Brokers[i].ID]; ok {
			s.Brokers[i].Draining = &state.draining
		}
	}
}

func (s *clusterStatus) count(p *kadm.PartitionDetail, leaders, replicas map[int32]int) {
	s.Partitions++
	for _, id := range p.Replicas {
		replicas[id]++
	}
	t := troubledPartition{p.Topic, p.Partition, p.Leader, some(p.Replicas), some(p.ISR)}
	if p.Leader >= 0 {
		leaders[p.Leader]++
	} else {
		s.WithoutLeader = append(s.WithoutLeader, t)
	}
	if len(p.ISR) < len(p.Replicas) {
		s.UnderReplicated = append(s.UnderReplicated, t)
	}
}

func (s *clusterStatus) write(w io.Writer) {
	fmt.Fprintf(w, "cluster %s: %d brokers, %d topics, %d partitions\n\n", s.Cluster, len(s.Brokers), s.Topics, s.Partitions)
	row(w, "BROKER", "ADDRESS", "RACK", "LEADERS", "REPLICAS", "")
	for _, b := range s.Brokers {
		rack, notes := "-", []string(nil)
		if b.Rack != nil {
			rack = *b.Rack
		}
		if b.ID == s.Controller {
			notes = append(notes, "controller")
		}
		if b.Draining != nil && *b.Draining {
			notes = append(notes, "draining")
		}
		row(w, b.ID, b.Address, rack, b.Leaders, b.Replicas, strings.Join(notes, ", "))
	}
	fmt.Fprintf(w, "\n%d partitions are under-replicated, %d have no leader\n", len(s.UnderReplicated), len(s.WithoutLeader))
	for _, list := range [][]troubledPartition{s.WithoutLeader, s.UnderReplicated} {
		for _, p := range list {
			fmt.Fprintf(w, "%s partition %d: leader %s, replicas %s, in sync %s\n", p.Topic, p.Partition, known(int64(p.Leader)), brokerIDs(p.Replicas), brokerIDs(p.InSync))
		}
	}
}
