package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// incrementalAlterConfigs changes properties of topics (KIP-339). A property that is
// a list is replaced as a whole: to append and subtract is refused.
func incrementalAlterConfigs(ctx context.Context, c *conn, req *kmsg.IncrementalAlterConfigsRequest) kmsg.Response {
	resp := kmsg.NewPtrIncrementalAlterConfigsResponse()
	for i := range req.Resources {
		want := &req.Resources[i]
		o := kmsg.NewIncrementalAlterConfigsResponseResource()
		o.ResourceType, o.ResourceName = want.ResourceType, want.ResourceName
		o.ErrorCode, o.ErrorMessage = c.describe(c.alterConfigs(ctx, want, req.ValidateOnly))
		resp.Resources = append(resp.Resources, o)
	}
	return resp
}

func (c *conn) alterConfigs(ctx context.Context, r *kmsg.IncrementalAlterConfigsRequestResource, validateOnly bool) error {
	if r.ResourceType != kmsg.ConfigResourceTypeTopic {
		return refuse(InvalidRequest, "only the configs of topics can be altered, not of resources of type %d", r.ResourceType)
	}
	seen := make(map[string]bool, len(r.Configs))
	var changes []ConfigChange
	for _, p := range r.Configs {
		if seen[p.Name] {
			return refuse(InvalidRequest, "property %q is named twice", p.Name)
		}
		seen[p.Name] = true
		change := ConfigChange{Config: Config{p.Name, p.Value}}
		switch p.Op {
		case kmsg.IncrementalAlterConfigOpSet:
			if p.Value == nil {
				return refuse(InvalidRequest, "property %q is to be set to nothing", p.Name)
			}
		case kmsg.IncrementalAlterConfigOpDelete:
			change.Delete = true
		default:
			return refuse(InvalidConfig, "property %q: set it as a whole, lists are not appended to or subtracted from", p.Name)
		}
		changes = append(changes, change)
	}
	return c.server.backend.AlterConfigs(ctx, r.ResourceName, changes, validateOnly)
}
