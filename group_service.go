package leat

import (
	"context"

	"github.com/leatlog/leat/internal/coordinator"
)

// groupService is the group coordinators as members and calls of this Log see them:
// the one in this process, or in a cluster whichever node a group's is on. The
// methods and their errors are those of coordinator.Coordinator; ErrNotCoordinator
// does not leave a service that can find another one.
type groupService interface {
	Heartbeat(ctx context.Context, req coordinator.HeartbeatRequest) (coordinator.HeartbeatResponse, error)
	Watch(group, member string) (news <-chan struct{}, stop func())
	CommitOffsets(ctx context.Context, req coordinator.CommitRequest) ([]coordinator.PartitionResult, error)
	ResetOffsets(ctx context.Context, req coordinator.ResetRequest) ([]coordinator.PartitionResult, error)
	FetchOffsets(ctx context.Context, req coordinator.FetchRequest) ([]coordinator.CommittedOffset, error)
	DeleteOffsets(ctx context.Context, req coordinator.DeleteRequest) ([]coordinator.PartitionResult, error)
	ListGroups(ctx context.Context, filter coordinator.ListFilter) ([]coordinator.GroupListing, error)
	DescribeGroup(ctx context.Context, group string) (coordinator.GroupDescription, error)
	DeleteGroup(ctx context.Context, group string) error
}

var _ groupService = (*coordinator.Coordinator)(nil)
