package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// apiVersions tells which APIs there are.
func apiVersions(_ context.Context, c *conn, _ *kmsg.ApiVersionsRequest) kmsg.Response {
	resp := kmsg.NewPtrApiVersionsResponse()
	for i := range apis {
		if apis[i].served(c.server.backend) {
			resp.ApiKeys = append(resp.ApiKeys, apiVersion(&apis[i]))
		}
	}
	return resp
}

func apiVersion(a *api) kmsg.ApiVersionsResponseApiKey {
	k := kmsg.NewApiVersionsResponseApiKey()
	k.ApiKey, k.MinVersion, k.MaxVersion = int16(a.key), a.min, a.max
	return k
}

// unsupportedVersions answers an ApiVersions of a version that is not known: by
// KIP-511 in version 0, with the entry from which the client takes a version that is.
func unsupportedVersions() kmsg.Response {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.ErrorCode = int16(UnsupportedVersion)
	resp.ApiKeys = []kmsg.ApiVersionsResponseApiKey{apiVersion(findAPI(int16(kmsg.ApiVersions)))}
	return resp
}
