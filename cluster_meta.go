package leat

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/raftmeta"
	"github.com/leatlog/leat/replication"
)

// metadataTimeout bounds a change of the metadata whose context has no end.
const metadataTimeout = time.Minute

// refusalWait bounds how long the image is waited for that shows why a change was refused.
const refusalWait = 2 * time.Second

// changeMetadata makes a change that decide decides on an image, and returns its result
// and an image that shows it. What has become stale meanwhile is decided anew, so decide
// may be called again, also after an attempt whose outcome is not known. A nil command
// is no change. The error is decide's, the *raftmeta.Error of a refusal, ctx's, or ErrClosed.
func (c *cluster) changeMetadata(ctx context.Context, decide func(img *raftmeta.Image) (raftmeta.Command, error)) (raftmeta.Result, *raftmeta.Image, error) {
	ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	defer context.AfterFunc(c.changing, cancel)()
	for {
		img := c.machine.Image()
		cmd, err := decide(img)
		if cmd == nil || err != nil {
			return raftmeta.Result{}, img, err
		}
		res, err := c.propose(ctx, cmd)
		if err != nil {
			return res, nil, c.orClosed(err)
		}
		refused := res.Err()
		if refused != nil && !errors.Is(refused, raftmeta.Stale) {
			// What it was refused for should be seen here; a node that is not of the
			// cluster any more never will.
			short, cancel := context.WithTimeout(ctx, refusalWait)
			defer cancel()
			if now, err := c.machine.Wait(short, res.Index); err == nil {
				img = now
			}
			return res, img, refused
		}
		if img, err = c.machine.Wait(ctx, res.Index); err != nil {
			return res, nil, c.orClosed(err)
		}
		if refused == nil {
			c.spread(ctx, img, nil)
			return res, img, nil
		}
	}
}

// orClosed returns ErrClosed for an error of a call that ended because the Log closes.
func (c *cluster) orClosed(err error) error {
	if c.changing.Err() != nil {
		return ErrClosed
	}
	return err
}

// spreadMax bounds how long a change waits for nodes that are slow to know of it.
const spreadMax = time.Second

// awaitRequest asks a node to answer when it knows the metadata up to an index.
type awaitRequest struct {
	Index base.RaftIndex `json:"index"`
	// Topic, if it is set, is the id of a topic whose leaders the node is to know too.
	Topic *TopicID `json:"topic,omitempty"`
}

type awaitReply struct{}

// spread waits until the nodes that live know what an image has, as far as they answer:
// who made a change sees it at whichever node he asks next. With a topic they are to know
// its leaders too.
func (c *cluster) spread(ctx context.Context, img *raftmeta.Image, topic *TopicID) {
	if c.epoch.Load() == 0 {
		return // it is entering
	}
	ctx, cancel := context.WithTimeout(ctx, spreadMax)
	defer cancel()
	var wg sync.WaitGroup
	for b := range img.Brokers() {
		if b.ID == c.self || !b.Live() {
			continue
		}
		wg.Go(func() {
			if _, err := callJSON[awaitReply](ctx, c.transport, b.RaftAddr, callAwait, awaitRequest{img.Index(), topic}); err != nil {
				c.log.cfg.Logger.Debug("a node may not know of a change of the metadata yet", "node", b.ID, "index", img.Index(), "err", err)
			}
		})
	}
	wg.Wait()
}

// serveAwait waits until this node knows the metadata up to an index.
func (c *cluster) serveAwait(ctx context.Context, req awaitRequest) (awaitReply, error) {
	img, err := c.machine.Wait(ctx, req.Index)
	if err == nil && c.epoch.Load() > 0 {
		c.topics.adopt(img)
	}
	if err == nil && req.Topic != nil {
		if t := c.log.catalog.topicByID(*req.Topic); t != nil {
			c.awaitReady(ctx, t)
		}
	}
	return awaitReply{}, err
}

// propose has a command applied by the leader of the metadata, and returns its result.
// After an error it may be applied all the same.
func (c *cluster) propose(ctx context.Context, cmd raftmeta.Command) (res raftmeta.Result, err error) {
	body := raftmeta.EncodeCommand(cmd)
	err = c.askLeader(ctx, func(addr string) error {
		if addr == "" {
			res, err = c.proposeHere(ctx, body)
			return c.tellSelf(err)
		}
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		reply, err := c.transport.Call(ctx, addr, callPropose, body)
		if err == nil {
			res, err = raftmeta.DecodeResult(reply)
		}
		return err
	})
	return res, err
}

// tellSelf is tellLeader for a call to oneself.
func (c *cluster) tellSelf(err error) error {
	var e *replication.CallError
	if errors.As(c.tellLeader(err), &e) {
		return &replication.RemoteError{Addr: c.cfg.RaftAddr, Code: e.Code, Message: e.Message}
	}
	return err
}

// proposeHere is propose on the node that leads the metadata.
func (c *cluster) proposeHere(ctx context.Context, body []byte) (raftmeta.Result, error) {
	if c.metaShard() == nil {
		return raftmeta.Result{}, &replication.NotLeaderError{Shard: raftmeta.MetadataShard}
	}
	answer, err := c.metaShard().Propose(ctx, body)
	if err != nil {
		return raftmeta.Result{}, err
	}
	return raftmeta.DecodeResult(answer)
}

// registration is what this node says of itself.
func (c *cluster) registration(clusterID string) raftmeta.RegisterBroker {
	r := raftmeta.RegisterBroker{
		Node:        c.self,
		ClusterID:   clusterID,
		Incarnation: c.incarnation,
		RaftAddr:    c.cfg.RaftAddr,
		ClientAddr:  c.cfg.ClientAddr,
		Rack:        c.cfg.Rack,
		Software:    softwareVersion,
		MinVersion:  raftmeta.MetadataVersionMin,
		MaxVersion:  raftmeta.MetadataVersionMax,
	}
	copy(r.Directory[:], c.identity.Directory)
	return r
}

// softwareVersion is what nodes tell each other, for people.
const softwareVersion = "leat/0"

// bootstrap gives the metadata of a new cluster its first command.
func (c *cluster) bootstrap(ctx context.Context) error {
	founders := make([]raftmeta.NodeID, len(c.identity.Founders))
	for i, m := range c.identity.Founders {
		founders[i] = m.Node
	}
	if len(founders) == 0 {
		return nil
	}
	_, _, err := c.changeMetadata(ctx, func(img *raftmeta.Image) (raftmeta.Command, error) {
		if img.ClusterID() != "" {
			return nil, nil
		}
		return &raftmeta.Bootstrap{ClusterID: c.identity.ClusterID, Founders: founders,
			ShardsPerFactor: c.cfg.ShardsPerFactor, DefaultReplicationFactor: c.cfg.ReplicationFactor}, nil
	})
	return err
}

// register makes this life of the node known. Its heartbeats let it take part.
func (c *cluster) register(ctx context.Context) error {
	var res raftmeta.Result
	pause := newBackoff(c.log.cfg.Clock, 100*time.Millisecond, time.Second)
	for {
		var err error
		r := c.registration(c.identity.ClusterID)
		if res, _, err = c.changeMetadata(ctx, func(*raftmeta.Image) (raftmeta.Command, error) { return &r, nil }); err == nil {
			break
		}
		if !errors.Is(err, raftmeta.NodeIDInUse) {
			return fmt.Errorf("leat: node %d cannot register with its cluster: %w", c.self, err)
		}
		// It may be the life before this one, until its session has run out.
		if perr := pause.wait(ctx, nil); perr != nil {
			return fmt.Errorf("leat: node %d cannot register with its cluster: %w", c.self, errors.Join(err, perr))
		}
	}
	c.epoch.Store(uint64(res.Epoch))
	return nil
}

// brokerEpoch is in whose name this life of the node asks for something.
func (c *cluster) brokerEpoch() raftmeta.BrokerEpoch {
	return raftmeta.BrokerEpoch{Node: c.self, Epoch: base.RaftIndex(c.epoch.Load())}
}

// heartbeatRequest is a sign of life, with the shards that the node leads.
type heartbeatRequest struct {
	Node  base.NodeID    `json:"node"`
	Epoch base.RaftIndex `json:"epoch"`
	Led   []leadership   `json:"led,omitempty"`
	// Stopping says that the node is about to close.
	Stopping bool `json:"stopping,omitempty"`
}

// heartbeatReply tells all leaders that are known.
type heartbeatReply struct {
	Leaders []leadership `json:"leaders,omitempty"`
}

// heartbeats sends signs of life until the node closes: at every interval, and at once
// when this node begins to lead a shard, so that those know it that have no replica.
func (c *cluster) heartbeats() {
	timer := c.log.cfg.Clock.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C():
		case <-c.beatNow:
		case <-c.ctx.Done():
			return
		}
		ctx, cancel := context.WithTimeout(c.ctx, c.cfg.HeartbeatInterval)
		err := c.heartbeat(ctx)
		cancel()
		if err != nil && c.ctx.Err() == nil {
			c.log.cfg.Logger.Debug("heartbeat failed", "node", c.self, "err", err)
		}
		timer.Reset(c.cfg.HeartbeatInterval)
	}
}

func (c *cluster) heartbeat(ctx context.Context) error {
	req := heartbeatRequest{Node: c.self, Epoch: c.brokerEpoch().Epoch, Led: c.leaders.led(c.self), Stopping: c.stopping.Load()}
	return c.askLeader(ctx, func(addr string) error {
		var reply heartbeatReply
		var err error
		if addr == "" {
			reply, err = c.serveHeartbeat(ctx, req)
			err = c.tellSelf(err)
		} else {
			reply, err = callJSON[heartbeatReply](ctx, c.transport, addr, callHeartbeat, req)
		}
		if err == nil {
			for _, l := range reply.Leaders {
				if c.shards.get(l.Shard) == nil && l.Shard != raftmeta.MetadataShard {
					c.leaders.learn(l)
				}
			}
		}
		return err
	})
}

// serveHeartbeat takes a sign of life, on the leader of the metadata.
func (c *cluster) serveHeartbeat(ctx context.Context, req heartbeatRequest) (heartbeatReply, error) {
	s := c.metaShard()
	if s == nil || !s.IsLeader() {
		return heartbeatReply{}, c.tellLeader(&replication.NotLeaderError{Shard: raftmeta.MetadataShard})
	}
	b := c.machine.Image().Broker(req.Node)
	if b == nil || b.Removed || b.Epoch != req.Epoch {
		return heartbeatReply{}, fmt.Errorf("node %d has no registration of epoch %d", req.Node, req.Epoch)
	}
	for _, l := range req.Led {
		if l.Node == req.Node && c.shards.get(l.Shard) == nil {
			c.leaders.learn(l)
		}
	}
	c.alive(req.Node, req.Epoch, !req.Stopping)
	if req.Stopping && !b.Fenced {
		if _, _, err := c.changeMetadata(ctx, func(*raftmeta.Image) (raftmeta.Command, error) {
			return &raftmeta.FenceBroker{BrokerEpoch: raftmeta.BrokerEpoch{Node: req.Node, Epoch: req.Epoch}}, nil
		}); err != nil {
			return heartbeatReply{}, err
		}
	}
	if b.Fenced && !req.Stopping {
		if _, _, err := c.changeMetadata(ctx, func(img *raftmeta.Image) (raftmeta.Command, error) {
			return &raftmeta.UnfenceBroker{BrokerEpoch: raftmeta.BrokerEpoch{Node: req.Node, Epoch: req.Epoch}}, nil
		}); err != nil {
			return heartbeatReply{}, err
		}
	}
	return heartbeatReply{Leaders: c.leaders.all()}, nil
}
