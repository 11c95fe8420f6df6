package peer

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/wire"
)

// api is a row of the table of what can be asked.
type api struct {
	key      kmsg.Key
	min, max int16 // the versions that leat's own listener serves
	floor    int16 // the first version that has the same fields as the newest
	named    int16 // the last version whose request names topics, where the later have ids; else max
	class    class
	response *wire.Layout
}

func row(key kmsg.Key, lo, floor, hi, named int16, c class, flexible int16, notation string) api {
	return api{key: key, min: lo, floor: floor, max: hi, named: named, class: c, response: wire.MustParse(notation, flexible)}
}

// apis is every API that a peer is asked, ascending by key. A version that is added
// to the listener is added here too: a Pool and a peer of another version of leat
// meet at the highest version that both have. It never changes.
var apis = []api{
	row(kmsg.Produce, 3, 9, 13, 12, classOrdered, 9,
		"[str:-12 uuid:13+ [i32 i16 i64 i64:2+ i64:5+ [i32 str]:8+ str:8+ <0 i32 i32>]] i32:1+ (0 [i32 str i32 str])"),
	row(kmsg.Fetch, 4, 12, 18, 12, classLong, 12,
		"i32:1+ i16:7+ i32:7+ [str:-12 uuid:13+ [i32 i16 i64 i64:4+ i64:5+ [i64 i64]:4+ i32:11+ bytes <0 i32 i64> <1 i32 i32> <2 i64 i32>]] (0 [i32 str i32 str])"),
	row(kmsg.ListOffsets, 1, 6, 10, 10, classShort, 6, "i32:2+ [str [i32 i16 *i64:-0 i64:1+ i64:1+ i32:4+]]"),
	row(kmsg.Metadata, 0, 10, 13, 13, classShort, 9,
		"i32:3+ [i32 str i32 str:1+] str:2+ i32:1+ [i16 str uuid:10+ bool:1+ [i16 i32 i32 i32:7+ *i32 *i32 *i32:5+] i32:8+] i32:8-10 i16:13+"),
	row(kmsg.OffsetCommit, 2, 8, 10, 9, classShort, 8, "i32:3+ [str:-9 uuid:10+ [i32 i16]]"),
	row(kmsg.OffsetFetch, 1, 9, 10, 9, classShort, 6,
		"i32:3+ [str [i32 i64 i32:5+ str i16]]:-7 i16:2-7 [str [str:8-9 uuid:10+ [i32 i64 i32 str i16]] i16]:8+"),
	row(kmsg.FindCoordinator, 0, 4, 6, 6, classShort, 3, "i32:1+ i16:-3 str:1-3 i32:-3 str:-3 i32:-3 [str i32 str i32 i16 str]:4+"),
	row(kmsg.JoinGroup, 0, 5, 9, 9, classLong, 6, "i32:2+ i16 i32 str:7+ str str bool:9+ str [str str:5+ bytes]"),
	row(kmsg.Heartbeat, 0, 3, 4, 4, classShort, 4, "i32:1+ i16"),
	row(kmsg.LeaveGroup, 0, 3, 5, 5, classShort, 4, "i32:1+ i16 [str str i16]:3+"),
	row(kmsg.SyncGroup, 0, 3, 5, 5, classLong, 4, "i32:1+ i16 str:5+ str:5+ bytes"),
	row(kmsg.DescribeGroups, 0, 3, 6, 6, classShort, 5, "i32:1+ [i16 str:6+ str str str str [str str:4+ str str bytes bytes] i32:3+]"),
	row(kmsg.ListGroups, 0, 5, 5, 5, classShort, 3, "i32:1+ i16 [str str str:4+ str:5+]"),
	row(kmsg.ApiVersions, 0, 0, 4, 4, classShort, 3, "i16 [i16 i16 i16] i32:1+ (0 [str i16 i16]) (1 i64) (2 [str i16 i16]) (3 bool)"),
	row(kmsg.CreateTopics, 2, 5, 7, 7, classShort, 5, "i32:2+ [str uuid:7+ i16 str:1+ i32:5+ i16:5+ [str str bool i8 bool]:5+ (0 i16)]"),
	row(kmsg.DeleteTopics, 1, 6, 6, 6, classShort, 4, "i32:1+ [str uuid:6+ i16 str:5+]"),
	row(kmsg.DeleteRecords, 0, 0, 2, 2, classShort, 2, "i32 [str [i32 i64 i16]]"),
	row(kmsg.InitProducerID, 0, 3, 5, 5, classShort, 2, "i32 i16 i64 i16"),
	row(kmsg.OffsetForLeaderEpoch, 2, 3, 4, 4, classShort, 4, "i32:2+ [str [i16 i32 i32:1+ i64]]"),
	row(kmsg.DescribeConfigs, 1, 1, 4, 4, classShort, 4, "i32 [i16 str i8 str [str str bool bool:-0 i8:1+ bool [str str i8]:1+ i8:3+ str:3+]]"),
	row(kmsg.AlterConfigs, 0, 0, 2, 2, classShort, 2, "i32 [i16 str i8 str]"),
	row(kmsg.DescribeLogDirs, 0, 0, 5, 5, classShort, 2, "i32 i16:3+ [i16 str [str [i32 i64 i64 bool]] i64:4+ i64:4+ bool:5+]"),
	row(kmsg.CreatePartitions, 0, 0, 3, 3, classShort, 2, "i32 [str i16 str]"),
	row(kmsg.DeleteGroups, 0, 0, 2, 2, classShort, 2, "i32 [str i16 str:3+]"),
	row(kmsg.ElectLeaders, 0, 0, 2, 2, classShort, 2, "i32 i16:1+ [str [i32 i16 str]]"),
	row(kmsg.IncrementalAlterConfigs, 0, 0, 1, 1, classShort, 1, "i32 [i16 str i8 str]"),
	row(kmsg.AlterPartitionAssignments, 0, 0, 1, 1, classShort, 0, "i32 bool:1+ i16 str [str [i32 i16 str]]"),
	row(kmsg.ListPartitionReassignments, 0, 0, 0, 0, classShort, 0, "i32 i16 str [str [i32 *i32 *i32 *i32]]"),
	row(kmsg.OffsetDelete, 0, 0, 0, 0, classShort, wire.Never, "i16 i32 [str [i32 i16]]"),
	row(kmsg.DescribeCluster, 0, 0, 2, 2, classShort, 0, "i32 i16 str i8:1+ str i32 [i32 str i32 str bool:2+] i32"),
	row(kmsg.DescribeProducers, 0, 0, 0, 0, classShort, 0, "i32 [str [i32 i16 str [i64 i32 i32 i64 i32 i64]]]"),
	row(kmsg.ConsumerGroupHeartbeat, 0, 0, 1, 1, classShort, 0, "i32 i16 str str i32 i32 ?{[uuid *i32]}"),
	row(kmsg.ConsumerGroupDescribe, 0, 0, 1, 1, classShort, 0,
		"i32 [i16 str str str i32 i32 str [str str str i32 str str *str str {[uuid str *i32]} {[uuid str *i32]} i8:1+] i32]"),
	row(kmsg.DescribeTopicPartitions, 0, 0, 0, 0, classShort, 0, "i32 [i16 str uuid bool [i16 i32 i32 i32 *i32 *i32 *i32 *i32 *i32] i32] ?{str i32}"),
}

// findAPI returns the row of an API, or nil.
func findAPI(key int16) *api {
	i, ok := slices.BinarySearchFunc(apis, key, func(a api, key int16) int { return int(a.key) - int(key) })
	if !ok {
		return nil
	}
	return &apis[i]
}

// versions returns those in which req says what it means, [lo, hi]: with names where
// it has names, with ids where it has ids.
func (a *api) versions(req kmsg.Request) versions {
	v := versions{a.floor, a.max}
	if a.named == a.max {
		return v
	}
	ids, names := naming(req)
	if !ids {
		v.hi = a.named
	}
	if !names {
		v.lo = max(v.lo, a.named+1)
	}
	return v
}

// naming reports whether all topics of a request have ids, and whether all have names.
func naming(req kmsg.Request) (ids, names bool) {
	ids, names = true, true
	add := func(name string, id [16]byte) {
		ids = ids && id != [16]byte{}
		names = names && name != ""
	}
	switch req := req.(type) {
	case *kmsg.ProduceRequest:
		for i := range req.Topics {
			add(req.Topics[i].Topic, req.Topics[i].TopicID)
		}
	case *kmsg.FetchRequest:
		for i := range req.Topics {
			add(req.Topics[i].Topic, req.Topics[i].TopicID)
		}
	case *kmsg.OffsetCommitRequest:
		for i := range req.Topics {
			add(req.Topics[i].Topic, req.Topics[i].TopicID)
		}
	case *kmsg.OffsetFetchRequest:
		for i := range req.Groups {
			for j := range req.Groups[i].Topics {
				add(req.Groups[i].Topics[j].Topic, req.Groups[i].Topics[j].TopicID)
			}
			if len(req.Groups[i].Topics) == 0 {
				ids = false // the answer tells of all topics, and has to name them
			}
		}
	}
	return ids, names
}
