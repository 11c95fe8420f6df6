package leat

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/coordinator"
	"github.com/leatlog/leat/kafka"
)

func (b *kafkaBackend) joinGroup(ctx context.Context, c kafka.Client, req *kmsg.JoinGroupRequest) kmsg.Response {
	resp := kmsg.NewPtrJoinGroupResponse()
	resp.Generation, resp.MemberID = -1, req.MemberID
	if req.Version < 7 {
		resp.Protocol = new(string) // it cannot be null there
	}
	co, err := b.coordinator(ctx, req.Group, true)
	if err != nil {
		resp.ErrorCode, _ = b.told(err)
		return resp
	}
	join := coordinator.JoinRequest{
		Group: req.Group, Member: req.MemberID, InstanceID: deref(req.InstanceID),
		ClientID: c.ID, ClientHost: c.Host,
		SessionTimeout:    time.Duration(req.SessionTimeoutMillis) * time.Millisecond,
		RebalanceTimeout:  max(0, time.Duration(req.RebalanceTimeoutMillis)*time.Millisecond),
		ProtocolType:      req.ProtocolType,
		RequireMemberID:   req.Version >= 4,
		CanSkipAssignment: req.Version >= 9,
	}
	for _, p := range req.Protocols {
		join.Protocols = append(join.Protocols, coordinator.JoinProtocol{Name: p.Name, Metadata: p.Metadata})
	}
	r, err := co.JoinGroup(ctx, join)
	if err != nil {
		var m *coordinator.MemberError
		if errors.As(err, &m) && m.Member != "" {
			resp.MemberID = m.Member
		}
		resp.ErrorCode, _ = b.told(err)
		return resp
	}
	resp.Generation, resp.MemberID, resp.LeaderID = r.Generation, r.Member, r.Leader
	resp.ProtocolType, resp.Protocol, resp.SkipAssignment = nullable(r.ProtocolType), &r.Protocol, r.SkipAssignment
	for _, m := range r.Members {
		o := kmsg.NewJoinGroupResponseMember()
		o.MemberID, o.InstanceID, o.ProtocolMetadata = m.Member, nullable(m.InstanceID), m.Metadata
		resp.Members = append(resp.Members, o)
	}
	return resp
}

func (b *kafkaBackend) syncGroup(ctx context.Context, req *kmsg.SyncGroupRequest) kmsg.Response {
	resp := kmsg.NewPtrSyncGroupResponse()
	co, err := b.coordinator(ctx, req.Group, true)
	if err != nil {
		resp.ErrorCode, _ = b.told(err)
		return resp
	}
	sync := coordinator.SyncRequest{Group: req.Group, Member: req.MemberID, InstanceID: deref(req.InstanceID),
		Generation: req.Generation, ProtocolType: deref(req.ProtocolType), Protocol: deref(req.Protocol)}
	for _, a := range req.GroupAssignment {
		sync.Assignments = append(sync.Assignments, coordinator.MemberAssignment{Member: a.MemberID, Assignment: a.MemberAssignment})
	}
	r, err := co.SyncGroup(ctx, sync)
	resp.ErrorCode, _ = b.told(err)
	resp.ProtocolType, resp.Protocol, resp.MemberAssignment = nullable(r.ProtocolType), nullable(r.Protocol), r.Assignment
	return resp
}

func (b *kafkaBackend) classicHeartbeat(ctx context.Context, req *kmsg.HeartbeatRequest) kmsg.Response {
	resp := kmsg.NewPtrHeartbeatResponse()
	co, err := b.coordinator(ctx, req.Group, true)
	if err == nil {
		err = co.ClassicHeartbeat(ctx, coordinator.ClassicHeartbeatRequest{Group: req.Group, Member: req.MemberID,
			InstanceID: deref(req.InstanceID), Generation: req.Generation})
	}
	resp.ErrorCode, _ = b.told(err)
	return resp
}

func (b *kafkaBackend) leaveGroup(ctx context.Context, req *kmsg.LeaveGroupRequest) kmsg.Response {
	resp := kmsg.NewPtrLeaveGroupResponse()
	leave := coordinator.LeaveRequest{Group: req.Group}
	if req.Version < 3 {
		leave.Members = []coordinator.LeavingMember{{Member: req.MemberID}}
	}
	for _, m := range req.Members {
		leave.Members = append(leave.Members, coordinator.LeavingMember{Member: m.MemberID, InstanceID: deref(m.InstanceID)})
	}
	co, err := b.coordinator(ctx, req.Group, true)
	var results []coordinator.LeaveResult
	if err == nil {
		results, err = co.LeaveGroup(ctx, leave)
	}
	resp.ErrorCode, _ = b.told(err)
	for _, r := range results {
		if req.Version < 3 {
			resp.ErrorCode = int16(b.Code(r.Err))
			break
		}
		o := kmsg.NewLeaveGroupResponseMember()
		o.MemberID, o.InstanceID, o.ErrorCode = r.Member, nullable(r.InstanceID), int16(b.Code(r.Err))
		resp.Members = append(resp.Members, o)
	}
	return resp
}
