// Package raftmeta is the metadata of a cluster: brokers, shards and their
// replicas, topics and the shard of each partition, configs, blocks of producer
// ids. It has the part of Kafka's KRaft controller (KIP-500, KIP-631).
//
// # Nouns
//
// An [Image] is all the metadata at one Raft index; it never changes. A [Command]
// is a change that was decided on. A [Machine] applies commands in the order of
// the Raft log and makes images of them; the same commands make the same images,
// results and snapshots on every node. A [Delta] is two images and what differs;
// a [Watcher] tells of deltas. A Plan function decides: it takes an Image and a
// request and returns a Command. A [Liveness] judges who is alive.
//
// A shard is a Raft group that replicates a set of partitions ([Shard]); shard 1
// is the metadata's own. A broker is a node of the cluster ([Broker]). A
// directory is what a node has on disk ([Directory]).
//
// Everything here only computes. There is no goroutine, no clock and no network:
// who hosts a Machine in a Raft group proposes commands, sends and hears
// heartbeats, and carries out what the Image says.
//
// # Handlers decide, apply replays
//
// The node that is asked for something plans it on its newest Image, with all the
// checks and choices, and proposes the command. Apply checks again only what may
// have changed since. A command that lost such a race changes nothing and has the
// result [Stale]: plan anew. Commands name the version of what they change, or an
// id that only one of two racing commands can be the first to use.
//
// # What the nodes owe
//
//   - A node registers under a new [Incarnation] whenever it starts, and waits for
//     the Image to show its own Directory before it starts replicas. It never starts
//     one that is [ReplicaLost]: that belonged to a directory that is gone.
//   - Replica ids, shard ids and partition ids are never used again. A shard or
//     partition on disk with an id below [Image.NextShard] or [Image.NextPartition]
//     that is not in the Image was deleted.
//   - The leader of a moving shard carries out [NextStep] until the move is
//     complete.
//   - A node whose Machine has an error ([Machine.Err]) must stop: it is too old for
//     the cluster's metadata version.
//
// # Two releases in one cluster
//
// Every form of a command has a metadata version since which it may be used
// ([MetadataVersion]). A node that knows a newer form refuses it while the
// cluster's version is older, with the same result as a node that does not know it.
// The version is raised ([SetClusterSetting]) once all brokers understand the new
// one.
//
// # Layout of commands, results and snapshots
//
// A number is a uvarint, in the shortest form; a signed one is a zig-zag varint. A
// string is its length and its UTF-8 bytes, 32,767 at most. A list is its length
// and its elements. Configs are a list of pairs of strings, by name. An id is 16
// bytes. A flag is a byte, 0 or 1.
//
//	command   kind:byte version:byte(1) fields
//
//	 1 Bootstrap            cluster:string founders:[number] shards per factor:number
//	                        default factor:number min insync:number
//	 2 RegisterBroker       node:number cluster:string incarnation:id directory:id
//	                        raft:string client:string rack:string software:string
//	                        min version:number max version:number
//	 3 UnfenceBroker        node:number epoch:number
//	 4 FenceBroker          node:number epoch:number
//	 5 DrainBroker          node:number cancel:flag
//	 6 RemoveBroker         node:number
//	16 CreateTopic          name:string id:id internal:flag configs factor:number
//	                        created:signed first shard:number
//	                        new shards:[dedicated:flag nodes:[number]] shards:[number]
//	17 DeleteTopic          topic:id
//	18 AddPartitions        topic:id count:number first shard:number
//	                        new shards:[dedicated:flag nodes:[number]] shards:[number]
//	19 SetTopicConfigs      topic:id version:number set:configs delete:[string]
//	32 MoveShard            shard:number version:number voters:[number] observers:[number]
//	33 AdvanceMove          shard:number version:number replica:number state:byte
//	                        (0 voter, 5 leaving, 7 gone)
//	34 CompleteMove         shard:number version:number
//	35 SetPreferredLeaders  shard:number version:number nodes:[number]
//	48 AllocateProducerIDs  node:number epoch:number
//	49 SetClusterSetting    setting:byte value:number
//	64 User, 65 ACL         reserved
//
//	result    version:byte(1) code:byte message:string index:number epoch:number
//	          first producer id:signed first partition:number first shard:number
//
//	snapshot  "leatmeta" version:byte(1) record... crc:4
//	record    kind:byte length:number fields
//
//	 1 cluster  index:number cluster:string shards per factor:number default
//	            factor:number min insync:number metadata version:number next
//	            shard:number next partition:number next producer id:signed
//	 2 broker   node:number incarnation:id directory:id epoch:number raft:string
//	            client:string rack:string software:string min version:number
//	            max version:number flags:byte(1 fenced, 2 draining, 4 removed)
//	 3 shard    shard:number kind:byte topic:id factor:number initial:[number]
//	            replicas:[node:number replica:number state:byte] preferred:[number]
//	            target:[number] observers:[number] before:[number] next replica:number
//	            version:number
//	 4 topic    name:string topic:id internal:flag configs factor:number
//	            created:signed partitions:[partition:number shard:number] version:number
//	 5 end      -
//
// The records of a snapshot come in the order of their kinds, and each kind in
// that of its keys. The crc is the CRC-32C of all bytes before it, big-endian.
package raftmeta
