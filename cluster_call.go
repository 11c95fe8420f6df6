package leat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/raftmeta"
	"github.com/leatlog/leat/replication"
)

// The calls of nodes to each other at their Raft addresses: what is needed to form a
// cluster, and by the one that leads the metadata. Requests and answers are JSON, but
// for callPropose, which carries a command and its result.
const (
	callHello     uint8 = 1 // helloRequest: who are you, and what do you know of me
	callJoin      uint8 = 2 // joinRequest: make me known
	callPropose   uint8 = 3 // a command of raftmeta, to the leader of the metadata
	callHeartbeat uint8 = 4 // heartbeatRequest, to the leader of the metadata
	callProgress  uint8 = 5 // progressRequest: how far are you
	callAwait     uint8 = 6 // awaitRequest: know the metadata up to there
)

// callNotLeader is the code of a CallError of a node that does not lead the metadata;
// the text is the address of the one that does, if it is known.
const callNotLeader uint16 = 1

// callTimeout bounds one attempt of a call.
const callTimeout = 5 * time.Second

// serveCall answers the calls of other nodes.
func (c *cluster) serveCall(ctx context.Context, from replication.Peer, kind uint8, body []byte) ([]byte, error) {
	switch kind {
	case callHello:
		return answerJSON(ctx, body, c.serveHello)
	case callJoin:
		return answerJSON(ctx, body, c.serveJoin)
	case callProgress:
		return answerJSON(ctx, body, c.serveProgress)
	case callAwait:
		return answerJSON(ctx, body, c.serveAwait)
	case callHeartbeat:
		return answerJSON(ctx, body, c.serveHeartbeat)
	case callPropose:
		if from.ClusterID == "" {
			return nil, errors.New("a node must belong to the cluster to change its metadata")
		}
		res, err := c.proposeHere(ctx, body)
		if err != nil {
			return nil, c.tellLeader(err)
		}
		return res.Encode(), nil
	}
	return nil, fmt.Errorf("a call of kind %d is not known to this version", kind)
}

func answerJSON[Q, A any](ctx context.Context, body []byte, serve func(context.Context, Q) (A, error)) ([]byte, error) {
	var req Q
	if err := json.Unmarshal(body, &req); err != nil {
		return nil, err
	}
	a, err := serve(ctx, req)
	if err != nil {
		return nil, err
	}
	return json.Marshal(a)
}

// callJSON calls the node at an address.
func callJSON[A any](ctx context.Context, t *replication.Transport, addr string, kind uint8, req any) (a A, err error) {
	body, err := json.Marshal(req)
	if err != nil {
		return a, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	reply, err := t.Call(ctx, addr, kind, body)
	if err != nil {
		return a, err
	}
	return a, json.Unmarshal(reply, &a)
}

// tellLeader makes an error of this node, which does not lead the metadata, one that
// tells the caller who does.
func (c *cluster) tellLeader(err error) error {
	if errors.Is(err, replication.ErrNotLeader) {
		addr := ""
		if node := c.leaders.get(raftmeta.MetadataShard).Node; node != c.self {
			addr = c.raftAddr(node)
		}
		return &replication.CallError{Code: callNotLeader, Message: addr}
	}
	return err
}

// raftAddr returns where a node is reached by its peers, "" if that is not known.
func (c *cluster) raftAddr(node base.NodeID) string {
	if b := c.machine.Image().Broker(node); b != nil && !b.Removed {
		return b.RaftAddr
	}
	for _, m := range c.founders() {
		if m.Node == node {
			return m.RaftAddr
		}
	}
	return c.cfg.Seeds[uint64(node)]
}

// askLeader calls ask with the addresses of nodes that may lead the metadata, until one
// does or ctx ends. An address of "" is this node.
func (c *cluster) askLeader(ctx context.Context, ask func(addr string) error) error {
	pause := newBackoff(c.log.cfg.Clock, leaderBackoffMin, leaderBackoffMax)
	var last error
	hint := ""
	for {
		changed := c.leaders.next()
		addr := hint
		if addr == "" {
			if node := c.leaders.get(raftmeta.MetadataShard).Node; node != 0 && node != c.self {
				addr = c.raftAddr(node)
			} else if node == 0 || c.metaShard() == nil {
				addr = c.nextSeed()
			}
		}
		err := ask(addr)
		if err == nil {
			return nil
		}
		hint = ""
		var remote *replication.RemoteError
		switch {
		case errors.As(err, &remote) && remote.Code == callNotLeader:
			if remote.Message != "" && remote.Message != addr && remote.Message != c.cfg.RaftAddr {
				hint = remote.Message
			}
		case remote != nil:
			return err // the leader's own answer
		case isRefusedForGood(err), !passes(err):
			return err
		}
		if last = err; hint != "" && pause.first() {
			continue
		}
		if err := pause.wait(ctx, changed); err != nil {
			return errors.Join(err, fmt.Errorf("the leader of the metadata was not reached: %w", last))
		}
		if c.ctx.Err() != nil {
			return ErrClosed
		}
	}
}

// isRefusedForGood tells refusals that another attempt does not change. A node whose disk
// has failed, or that only starts, is no reason to give up on the others.
func isRefusedForGood(err error) bool {
	var refused *replication.RefusedError
	return errors.As(err, &refused) && refused.Reason != replication.RefusedNotReady && refused.Reason != replication.RefusedFailed
}

// passes tells errors of a node or the network that may be gone with the next attempt.
func passes(err error) bool {
	return !errors.Is(err, ErrClosed) && !errors.Is(err, replication.ErrClosed) && !errors.Is(err, ErrStorageFailed) && !errors.Is(err, replication.ErrTooLarge)
}

// nextSeed returns the address of another node that this one knows without the
// metadata, a different one each time; "" if there is none.
func (c *cluster) nextSeed() string {
	others := c.otherSeeds()
	if len(others) == 0 {
		return ""
	}
	return others[int(c.seedTurn.Add(1))%len(others)].RaftAddr
}
