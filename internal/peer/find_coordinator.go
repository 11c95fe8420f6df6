package peer

import (
	"context"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
)

// Coordinator is the node that coordinates a group.
type Coordinator struct {
	Group string
	Node  base.NodeID
	Host  string
	Port  uint16
	Err   error // an *Error
}

// FindCoordinator asks a node who coordinates groups. The results are in the order of
// the question.
func (p *Pool) FindCoordinator(ctx context.Context, id base.NodeID, groups ...string) ([]Coordinator, error) {
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorKeys = groups
	asked, err := indexNames(groups)
	if err != nil {
		return nil, err
	}
	answer, err := p.Do(ctx, id, req)
	if err != nil {
		return nil, err
	}
	from := answerer{id, kmsg.FindCoordinator}
	out := make([]Coordinator, len(groups))
	for _, o := range answer.(*kmsg.FindCoordinatorResponse).Coordinators {
		k, err := from.take(asked, o.Key)
		if err != nil {
			return nil, err
		}
		out[k] = Coordinator{Group: o.Key, Err: from.group(o.Key, o.ErrorCode, o.ErrorMessage)}
		if out[k].Err != nil {
			continue
		}
		if o.NodeID <= 0 || o.Port < 0 || o.Port > math.MaxUint16 {
			return nil, fmt.Errorf("%w: node %d says that group %q has the coordinator %d at port %d", ErrMalformed, id, o.Key, o.NodeID, o.Port)
		}
		out[k].Node, out[k].Host, out[k].Port = nodeID(o.NodeID), o.Host, uint16(o.Port)
	}
	return out, from.rest(asked)
}

// indexNames returns where each group is, which may be there once.
func indexNames(groups []string) (map[string]int, error) {
	asked := make(map[string]int, len(groups))
	for i, g := range groups {
		if _, again := asked[g]; again {
			return nil, fmt.Errorf("%w: group %q is there twice", ErrInvalidRequest, g)
		}
		asked[g] = i
	}
	return asked, nil
}

// take returns where a group of an answer belongs, once.
func (a answerer) take(asked map[string]int, group string) (int, error) {
	k, ok := asked[group]
	if !ok {
		return 0, fmt.Errorf("%w: node %d answered %s for group %q, which was not asked for, or twice", ErrMalformed, a.node, a.api.Name(), group)
	}
	delete(asked, group)
	return k, nil
}

// rest is the error about groups that an answer does not tell of.
func (a answerer) rest(asked map[string]int) error {
	for g := range asked {
		return a.missing(fmt.Sprintf("group %q", g))
	}
	return nil
}
