import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** The scenarios; package scenario has the same in Go. */
final class Scenarios implements AutoCloseable {
    private static final List<Integer> ALL = List.of(0, 1, 2, 3);

    private final Admin admin = Admin.create(Env.client(Map.of()));

    @Override
    public void close() {
        admin.close();
    }

    /** Runs a scenario and returns its note. */
    String call(String name) throws Exception {
        String topic = Env.PREFIX + "-" + name;
        switch (name) {
            case "create" -> create(topic);
            case "first-use" -> firstUse(topic);
            case "none", "gzip", "snappy", "lz4", "zstd" -> roundTrip(topic, 40, Map.of("compression.type", name, "enable.idempotence", false));
            case "idempotent" -> roundTrip(topic, 200, Map.of("enable.idempotence", true));
            case "from-start" -> readFrom(topic, 0, 0, -1);
            case "from-offset" -> readFrom(topic, 37, 37, -1);
            case "from-time" -> readFrom(topic, 42, 0, Env.START_MS + 41500);
            case "group-classic" -> group(topic, "classic");
            case "group-consumer" -> group(topic, "consumer");
            case "commit-resume" -> commitResume(topic);
            case "admin" -> {
                return admin(topic);
            }
            case "unknown-topic" -> unknownTopic(topic);
            case "too-large" -> tooLarge(topic);
            case "failover" -> {
                return failover(topic);
            }
            default -> throw new IllegalArgumentException("there is no such scenario");
        }
        return "";
    }

    private void createTopic(String topic, int partitions, Map<String, String> config) throws Exception {
        admin.createTopics(List.of(new NewTopic(topic, partitions, Env.REPLICATION).configs(config))).all().get();
    }

    private int countPartitions(String topic) throws Exception {
        return admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size();
    }

    static KafkaConsumer<byte[], byte[]> consumer(Map<String, ?> config) {
        return new KafkaConsumer<>(Env.client(config), new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private static KafkaProducer<byte[], byte[]> producer(Map<String, ?> config) {
        return new KafkaProducer<>(Env.client(config), new ByteArraySerializer(), new ByteArraySerializer());
    }

    private static void produce(List<ProducerRecord<byte[], byte[]>> records, Map<String, ?> config) throws Exception {
        var all = new HashMap<String, Object>(Map.of("acks", "all", "linger.ms", 20, "max.request.size", 10 << 20));
        all.putAll(config);
        try (var producer = producer(all)) {
            var sent = new ArrayList<Future<RecordMetadata>>();
            for (var r : records) {
                sent.add(producer.send(r));
            }
            for (var s : sent) {
                s.get();
            }
        }
    }

    private static List<ConsumerRecord<byte[], byte[]>> read(String topic, int partition, int n, long offset, long time) {
        try (var consumer = consumer(Map.of("auto.offset.reset", "none", "enable.auto.commit", false))) {
            var tp = new TopicPartition(topic, partition);
            consumer.assign(List.of(tp));
            consumer.seek(tp, time < 0 ? offset : consumer.offsetsForTimes(Map.of(tp, time)).get(tp).offset());
            var got = new ArrayList<ConsumerRecord<byte[], byte[]>>();
            long end = System.nanoTime() + 30_000_000_000L;
            while (got.size() < n && System.nanoTime() < end) {
                consumer.poll(Duration.ofMillis(500)).forEach(got::add);
            }
            return got;
        }
    }

    private void create(String topic) throws Exception {
        var config = Map.of("retention.ms", "86400000", "max.message.bytes", "200000");
        createTopic(topic, 3, config);
        Check.equal("partitions", countPartitions(topic), 3);
        Check.fails(TopicExistsException.class, () -> {
            createTopic(topic, 3, config);
            return null;
        });
    }

    private void firstUse(String topic) throws Exception {
        var config = Env.client(Map.of("key.serializer", StringSerializer.class, "value.serializer", StringSerializer.class));
        try (var producer = new KafkaProducer<String, String>(config)) {
            Check.equal("offset", producer.send(new ProducerRecord<>(topic, "FOOBAR")).get().offset(), 0L);
        }
        if (countPartitions(topic) == 1) {
            var r = read(topic, 0, 1, 0, -1).get(0);
            Check.equal("key", r.key(), null);
            Check.equal("value", new String(r.value(), StandardCharsets.UTF_8), "FOOBAR");
        }
    }

    private void roundTrip(String topic, int n, Map<String, ?> config) throws Exception {
        createTopic(topic, 1, Map.of());
        produce(Sample.range(topic, 0, 0, n), config);
        Sample.expect(read(topic, 0, n, 0, -1), Sample.range(topic, 0, 0, n), 0);
    }

    private void readFrom(String topic, int first, long offset, long time) throws Exception {
        createTopic(topic, 2, Map.of());
        for (int p = 0; p < 2; p++) {
            produce(Sample.range(topic, p, 0, 60), Map.of("compression.type", "gzip"));
        }
        Sample.expect(read(topic, 1, 60 - first, offset, time), Sample.range(topic, 1, first, 60), first);
    }

    private void produceToAll(String topic, int lo, int hi) throws Exception {
        for (int p : ALL) {
            produce(Sample.range(topic, p, lo, hi), Map.of());
        }
    }

    private void group(String topic, String protocol) throws Exception {
        createTopic(topic, 4, Map.of());
        try (var first = new Member(protocol, topic + "-group", topic)) {
            Check.await(() -> first.partitions().equals(ALL), () -> "the first member's partitions: " + first.partitions());
            try (var second = new Member(protocol, topic + "-group", topic)) {
                Check.await(() -> first.partitions().size() == 2 && second.partitions().size() == 2,
                    () -> "two partitions each: " + first.partitions() + " and " + second.partitions());
                var shares = List.of(first.partitions(), second.partitions());
                var both = new ArrayList<>(shares.get(0));
                both.addAll(shares.get(1));
                Check.equal("partitions of both", both.stream().sorted().toList(), ALL);
                produceToAll(topic, 0, 10);
                first.drain(shares.get(0), 0, 10);
                second.drain(shares.get(1), 0, 10);
                for (int p : shares.get(0)) {
                    first.commit(p, 10);
                }
                for (int p : shares.get(1)) {
                    second.commit(p, 10);
                }
            }
            Check.await(() -> first.partitions().equals(ALL), () -> "all partitions again: " + first.partitions());
            produceToAll(topic, 10, 20);
            first.drain(ALL, 10, 20);
        }
    }

    private void commitResume(String topic) throws Exception {
        createTopic(topic, 1, Map.of());
        produce(Sample.range(topic, 0, 0, 60), Map.of());
        for (int[] part : new int[][] {{0, 25}, {25, 60}}) {
            try (var m = new Member("classic", topic + "-group", topic)) {
                m.drain(List.of(0), part[0], part[1]);
                m.commit(0, part[1]);
            }
        }
    }

    private String admin(String topic) throws Exception {
        createTopic(topic, 2, Map.of());
        for (int p = 0; p < 2; p++) {
            produce(Sample.range(topic, p, 0, 20), Map.of());
        }
        try (var m = new Member("classic", topic + "-group", topic)) {
            Check.await(() -> m.partitions().equals(List.of(0, 1)), () -> "all partitions: " + m.partitions());
            m.commit(0, 7);
        }
        return String.join(",", new AdminCalls(admin, topic, topic + "-group").run());
    }

    private void unknownTopic(String topic) throws Exception {
        Check.fails(UnknownTopicOrPartitionException.class, () -> countPartitions(topic));
        try (var consumer = consumer(Map.of("allow.auto.create.topics", false))) {
            Check.equal("partitions", consumer.partitionsFor(topic).size(), 0);
        }
    }

    private void tooLarge(String topic) throws Exception {
        createTopic(topic, 1, Map.of("max.message.bytes", "5000"));
        byte[] random = new byte[20_000];
        new Random(1).nextBytes(random);
        Check.fails(RecordTooLargeException.class, () -> {
            produce(List.of(new ProducerRecord<>(topic, 0, null, random)), Map.of());
            return null;
        });
        var small = Sample.range(topic, 0, 1, 2);
        produce(small, Map.of());
        Sample.expect(read(topic, 0, 1, 0, -1), small, 0);
    }

    private String failover(String topic) throws Exception {
        createTopic(topic, 3, Map.of());
        long longest = 0;
        try (var producer = producer(Map.of("acks", "all", "enable.idempotence", true, "linger.ms", 0, "delivery.timeout.ms", 60000,
                "request.timeout.ms", 10000))) {
            for (int i = 0; i < Env.FAILOVER_RECORDS; i++) {
                long began = System.nanoTime();
                producer.send(new ProducerRecord<>(topic, i % 3, null, Sample.bytes(Integer.toString(i)))).get();
                long took = (System.nanoTime() - began) / 1_000_000;
                longest = Math.max(longest, took);
                if ((i + 1) % 25 == 0) {
                    System.out.println("@ progress " + (i + 1));
                }
                Thread.sleep(Math.max(0, Env.FAILOVER_MS - took));
            }
        }
        for (int p = 0; p < 3; p++) {
            produce(List.of(new ProducerRecord<>(topic, p, null, Sample.bytes("end"))), Map.of());
            var want = new ArrayList<String>();
            for (int i = p; i < Env.FAILOVER_RECORDS; i += 3) {
                want.add(Integer.toString(i));
            }
            want.add("end");
            var got = read(topic, p, want.size(), 0, -1).stream().map(r -> new String(r.value(), StandardCharsets.UTF_8)).toList();
            Check.equal("partition " + p, got, want);
        }
        return "longest wait for an ack " + longest + " ms";
    }
}
