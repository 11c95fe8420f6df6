package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// alterConfigs replaces the whole config of topics: what a request does not name
// inherits again. Tools that are not old use IncrementalAlterConfigs.
func alterConfigs(ctx context.Context, c *conn, req *kmsg.AlterConfigsRequest) kmsg.Response {
	resp := kmsg.NewPtrAlterConfigsResponse()
	times := make(map[configResource]int, len(req.Resources))
	for i := range req.Resources {
		times[configResource{req.Resources[i].ResourceType, req.Resources[i].ResourceName}]++
	}
	for i := range req.Resources {
		want := &req.Resources[i]
		key := configResource{want.ResourceType, want.ResourceName}
		var err error
		switch n := times[key]; {
		case n == 0:
			continue // it was answered
		case n > 1:
			err = refuseTwice(key)
			times[key] = 0
		default:
			err = c.replaceConfigs(ctx, want, req.ValidateOnly)
		}
		o := kmsg.NewAlterConfigsResponseResource()
		o.ResourceType, o.ResourceName = want.ResourceType, want.ResourceName
		o.ErrorCode, o.ErrorMessage = c.describe(err)
		resp.Resources = append(resp.Resources, o)
	}
	return resp
}

// configResource names what has a config.
type configResource struct {
	kind kmsg.ConfigResourceType
	name string
}

// refuseTwice is what a resource gets that one request names several times: which of
// the changes comes first is not said.
func refuseTwice(r configResource) error {
	return refuse(InvalidRequest, "the request names resource %q more than once", r.name)
}

func (c *conn) replaceConfigs(ctx context.Context, r *kmsg.AlterConfigsRequestResource, validateOnly bool) error {
	a := ConfigAlteration{Replace: true, ValidateOnly: validateOnly}
	for _, p := range r.Configs {
		if p.Value == nil {
			return refuse(InvalidRequest, "property %q is to be set to nothing", p.Name)
		}
		a.Changes = append(a.Changes, ConfigChange{Name: p.Name, Op: ConfigSet, Value: *p.Value})
	}
	return c.alterTopicConfigs(ctx, r.ResourceType, r.ResourceName, a)
}
