import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.function.Predicate;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;

/** The calls of Admin, each with what its answer must be. */
final class AdminCalls {
    private final Admin admin;
    private final String topic;
    private final String group;
    private final List<String> calls = new ArrayList<>();

    AdminCalls(Admin admin, String topic, String group) {
        this.admin = admin;
        this.topic = topic;
        this.group = group;
    }

    private <T> T call(String name, Callable<T> call, Predicate<T> check) throws Exception {
        calls.add(name);
        T got;
        try {
            got = call.call();
        } catch (Exception e) {
            throw new Exception(name + ": " + e.getMessage(), e);
        }
        Check.that(check.test(got), name, got);
        return got;
    }

    /** Calls all of them and returns their names. */
    List<String> run() throws Exception {
        var zero = new TopicPartition(topic, 0);
        var one = new TopicPartition(topic, 1);
        var cluster = admin.describeCluster();
        call("describeCluster", () -> cluster.clusterId().get() + cluster.controller().get() + cluster.nodes().get(), r -> !r.isEmpty());
        int node = cluster.nodes().get().iterator().next().id();
        call("listTopics", () -> admin.listTopics().names().get(), r -> r.contains(topic));
        var description = call("describeTopics", () -> admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic),
            r -> r.partitions().size() == 2 && r.partitions().get(0).leader() != null);
        call("describeFeatures", () -> admin.describeFeatures().featureMetadata().get(), r -> true);
        topicConfigs(node);
        call("createPartitions", () -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(3))).all().get(), r -> true);
        call("deleteRecords", () -> admin.deleteRecords(Map.of(zero, RecordsToDelete.beforeOffset(5))).lowWatermarks().get(zero).get().lowWatermark(),
            r -> r == 5);
        call("listOffsets", () -> admin.listOffsets(Map.of(zero, OffsetSpec.earliest(), one, OffsetSpec.latest())).all().get(),
            r -> r.get(zero).offset() == 5 && r.get(one).offset() == 20);
        call("describeLogDirs", () -> admin.describeLogDirs(List.of(node)).allDescriptions().get().get(node).values().iterator().next(),
            r -> r.replicaInfos().containsKey(zero));
        call("describeProducers", () -> admin.describeProducers(List.of(one)).all().get().get(one).activeProducers(), r -> r.size() == 1);
        call("electLeaders", () -> admin.electLeaders(ElectionType.PREFERRED, Set.of(zero)).partitions().get(), r -> true);
        call("listPartitionReassignments", () -> admin.listPartitionReassignments().reassignments().get(), Map::isEmpty);
        groups(zero);
        call("deleteTopics", () -> admin.deleteTopics(List.of(topic)).all().get(), r -> true);
        call("listTopics", () -> admin.listTopics().names().get(), r -> !r.contains(topic));
        Check.that(description.topicId() != null, "topic id", description);
        return calls;
    }

    private void topicConfigs(int node) throws Exception {
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        var broker = new ConfigResource(ConfigResource.Type.BROKER, Integer.toString(node));
        var set = new AlterConfigOp(new ConfigEntry("retention.ms", "86400000"), AlterConfigOp.OpType.SET);
        call("incrementalAlterConfigs", () -> admin.incrementalAlterConfigs(Map.of(resource, List.of(set))).all().get(), r -> true);
        call("describeConfigs", () -> admin.describeConfigs(List.of(resource, broker)).all().get(),
            r -> r.get(resource).get("retention.ms").value().equals("86400000") && !r.get(broker).entries().isEmpty());
    }

    private void groups(TopicPartition zero) throws Exception {
        call("listGroups", () -> admin.listGroups().all().get().stream().map(GroupListing::groupId).toList(), r -> r.contains(group));
        call("describeConsumerGroups", () -> admin.describeConsumerGroups(List.of(group)).all().get().get(group),
            r -> r.groupState() == GroupState.EMPTY);
        call("listConsumerGroupOffsets", () -> admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get(),
            r -> r.get(zero).offset() == 7);
        call("alterConsumerGroupOffsets", () -> admin.alterConsumerGroupOffsets(group, Map.of(zero, new OffsetAndMetadata(9))).all().get(), r -> true);
        call("deleteConsumerGroupOffsets", () -> admin.deleteConsumerGroupOffsets(group, Set.of(zero)).all().get(), r -> true);
        call("deleteConsumerGroups", () -> admin.deleteConsumerGroups(List.of(group)).all().get(), r -> true);
    }
}
