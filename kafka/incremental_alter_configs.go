package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// incrementalAlterConfigs changes properties of topics, and whether nodes drain
// (KIP-339).
func incrementalAlterConfigs(ctx context.Context, c *conn, req *kmsg.IncrementalAlterConfigsRequest) kmsg.Response {
	resp := kmsg.NewPtrIncrementalAlterConfigsResponse()
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
			err = c.changeConfigs(ctx, want, req.ValidateOnly)
		}
		o := kmsg.NewIncrementalAlterConfigsResponseResource()
		o.ResourceType, o.ResourceName = want.ResourceType, want.ResourceName
		o.ErrorCode, o.ErrorMessage = c.describe(err)
		resp.Resources = append(resp.Resources, o)
	}
	return resp
}

func (c *conn) changeConfigs(ctx context.Context, r *kmsg.IncrementalAlterConfigsRequestResource, validateOnly bool) error {
	a := ConfigAlteration{ValidateOnly: validateOnly}
	for _, p := range r.Configs {
		if p.Op < kmsg.IncrementalAlterConfigOpSet || p.Op > kmsg.IncrementalAlterConfigOpSubtract {
			return refuse(InvalidRequest, "property %q: there is no operation %d", p.Name, p.Op)
		}
		change := ConfigChange{Name: p.Name, Op: ConfigOp(p.Op)}
		if change.Op != ConfigDelete {
			if p.Value == nil {
				return refuse(InvalidRequest, "property %q is to be changed to nothing", p.Name)
			}
			change.Value = *p.Value
		}
		a.Changes = append(a.Changes, change)
	}
	if r.ResourceType == kmsg.ConfigResourceTypeBroker {
		if err := a.checkNames(); err != nil {
			return err
		}
		return c.alterNode(ctx, r.ResourceName, a)
	}
	return c.alterTopicConfigs(ctx, r.ResourceType, r.ResourceName, a)
}

// alterTopicConfigs checks what both APIs that alter configs have in common.
func (c *conn) alterTopicConfigs(ctx context.Context, kind kmsg.ConfigResourceType, name string, a ConfigAlteration) error {
	if kind != kmsg.ConfigResourceTypeTopic {
		return refuse(InvalidRequest, "only the configs of topics can be altered, not of resources of type %d", kind)
	}
	if err := a.checkNames(); err != nil {
		return err
	}
	return c.server.backend.AlterConfigs(ctx, name, a)
}

// checkNames refuses two changes of one property: which comes first is not said.
func (a *ConfigAlteration) checkNames() error {
	seen := make(map[string]struct{}, len(a.Changes))
	for i := range a.Changes {
		if !first(seen, a.Changes[i].Name) {
			return refuse(InvalidRequest, "property %q is named twice", a.Changes[i].Name)
		}
	}
	return nil
}
