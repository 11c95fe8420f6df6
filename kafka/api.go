package kafka

import (
	"context"
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// api is a row of the table of what is served.
type api struct {
	key      kmsg.Key
	min, max int16 // the versions that are advertised
	shape    shape
	// handle answers a request. Produce and Fetch have nil: conn calls them.
	handle func(ctx context.Context, c *conn, req kmsg.Request) kmsg.Response
	// clustered is true for an API that a standalone Log does not serve.
	clustered bool
}

// never is the first flexible version of an API that has none.
const never = math.MaxInt16

func newAPI(key kmsg.Key, lo, hi, flexible int16, notation string, handle func(context.Context, *conn, kmsg.Request) kmsg.Response) api {
	return api{key: key, min: lo, max: hi, shape: shape{fields: parseFields(notation), flexible: flexible}, handle: handle}
}

// typed makes a handler of one for the API's own request type.
func typed[Req kmsg.Request](handle func(ctx context.Context, c *conn, req Req) kmsg.Response) func(context.Context, *conn, kmsg.Request) kmsg.Response {
	return func(ctx context.Context, c *conn, req kmsg.Request) kmsg.Response { return handle(ctx, c, req.(Req)) }
}

// apis is every API that is served, ascending by key. The lowest versions matter:
// clients take features from them. librdkafka sends no compression below Produce 0,
// has no groups without FindCoordinator 0 and no idempotence without InitProducerId 0.
// It never changes.
var apis []api

func init() { apis = makeAPIs() } // not where it is declared: apiVersions reads it

func makeAPIs() []api {
	fetch := newAPI(kmsg.Fetch, 4, 18, 12,
		"i32:-14 i32 i32 i32:3+ i8:4+ i32:7+ i32:7+ [str:-12 uuid:13+ [i32 i32:9+ i64 i32:12+ i64:5+ i32]] [str:-12 uuid:13+ *i32]:7+ str:11+", nil)
	fetch.shape.tagged = map[uint32][]field{1: parseFields("i32 i64")} // the state of a replica
	unregister := newAPI(kmsg.UnregisterBroker, 0, 0, 0, "i32", typed(unregisterBroker))
	unregister.clustered = true
	return []api{
		newAPI(kmsg.Produce, 0, 13, 9, "str:3+ i16 i32 [str:-12 uuid:13+ [i32 bytes]]", nil),
		fetch,
		newAPI(kmsg.ListOffsets, 1, 10, 6, "i32 i8:2+ [str [i32 i32:4+ i64]] i32:10+", typed(listOffsets)),
		newAPI(kmsg.Metadata, 0, 13, 9, "[uuid:10+ str] bool:4+ bool:8-10 bool:8+", typed(metadata)),
		newAPI(kmsg.OffsetCommit, 2, 10, 8, "str i32:1+ str:1+ str:7+ i64:2-4 [str:-9 uuid:10+ [i32 i64 i64:1-1 i32:6+ str]]", serveGroup),
		newAPI(kmsg.OffsetFetch, 1, 10, 6, "str:-7 [str *i32]:-7 [str str:9+ i32:9+ [str:-9 uuid:10+ *i32]]:8+ bool:7+", serveGroup),
		newAPI(kmsg.FindCoordinator, 0, 6, 3, "str:-3 i8:1+ *str:4+", typed(findCoordinator)),
		newAPI(kmsg.JoinGroup, 0, 9, 6, "str i32 i32:1+ str str:5+ str [str bytes] str:8+", serveGroup),
		newAPI(kmsg.Heartbeat, 0, 4, 4, "str i32 str str:3+", serveGroup),
		newAPI(kmsg.LeaveGroup, 0, 5, 4, "str str:-2 [str str str:5+]:3+", serveGroup),
		newAPI(kmsg.SyncGroup, 0, 5, 4, "str i32 str str:3+ str:5+ str:5+ [str bytes]", serveGroup),
		newAPI(kmsg.DescribeGroups, 0, 6, 5, "*str bool:3+", serveGroup),
		newAPI(kmsg.ListGroups, 0, 5, 3, "*str:4+ *str:5+", serveGroup),
		newAPI(kmsg.ApiVersions, 0, 4, 3, "str:3+ str:3+ str:5+ i32:5+", typed(apiVersions)),
		newAPI(kmsg.CreateTopics, 2, 7, 5, "[str i32 i16 [i32 *i32] [str str]] i32 bool:1+", typed(createTopics)),
		newAPI(kmsg.DeleteTopics, 1, 6, 4, "*str:-5 [str uuid]:6+ i32", typed(deleteTopics)),
		newAPI(kmsg.DeleteRecords, 0, 2, 2, "[str [i32 i64]] i32", typed(deleteRecords)),
		newAPI(kmsg.InitProducerID, 0, 5, 2, "str i32 i64:3+ i16:3+", typed(initProducerID)),
		newAPI(kmsg.OffsetForLeaderEpoch, 2, 4, 4, "i32:3+ [str [i32 i32:2+ i32]]", typed(offsetForLeaderEpoch)),
		newAPI(kmsg.DescribeConfigs, 1, 4, 4, "[i8 str *str] bool:1+ bool:3+", typed(describeConfigs)),
		newAPI(kmsg.AlterConfigs, 0, 2, 2, "[i8 str [str str]] bool", typed(alterConfigs)),
		newAPI(kmsg.DescribeLogDirs, 0, 5, 2, "[str *i32]", typed(describeLogDirs)),
		newAPI(kmsg.CreatePartitions, 0, 3, 2, "[str i32 [*i32]] i32 bool", typed(createPartitions)),
		newAPI(kmsg.DeleteGroups, 0, 2, 2, "*str", serveGroup),
		newAPI(kmsg.ElectLeaders, 0, 2, 2, "i8:1+ [str *i32] i32", typed(electLeaders)),
		newAPI(kmsg.IncrementalAlterConfigs, 0, 1, 1, "[i8 str [str i8 str]] bool", typed(incrementalAlterConfigs)),
		newAPI(kmsg.AlterPartitionAssignments, 0, 1, 0, "i32 bool:1+ [str [i32 *i32]]", typed(alterPartitionReassignments)),
		newAPI(kmsg.ListPartitionReassignments, 0, 0, 0, "i32 [str *i32]", typed(listPartitionReassignments)),
		newAPI(kmsg.OffsetDelete, 0, 0, never, "str [str [i32]]", serveGroup),
		newAPI(kmsg.DescribeCluster, 0, 2, 0, "bool i8:1+ bool:2+", typed(describeCluster)),
		newAPI(kmsg.DescribeProducers, 0, 0, 0, "[str *i32]", typed(describeProducers)),
		unregister,
		newAPI(kmsg.ConsumerGroupHeartbeat, 0, 1, 0, "str str i32 str str i32 *str str:1+ str [uuid *i32]", serveGroup),
		newAPI(kmsg.ConsumerGroupDescribe, 0, 1, 0, "*str bool", serveGroup),
		newAPI(kmsg.DescribeTopicPartitions, 0, 0, 0, "[str] i32 {str i32}", typed(describeTopicPartitions)),
	}
}

// findAPI returns the row of an API, or nil.
func findAPI(key int16) *api {
	i, ok := slices.BinarySearchFunc(apis, key, func(a api, key int16) int { return int(a.key) - int(key) })
	if !ok {
		return nil
	}
	return &apis[i]
}

// served reports whether the backend has what an API is about.
func (a *api) served(b Backend) bool { return !a.clustered || b.Membership() != nil }

// serveGroup asks the group coordinator.
func serveGroup(ctx context.Context, c *conn, req kmsg.Request) kmsg.Response {
	return c.server.backend.ServeGroup(ctx, c.client, req)
}
