import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

/** A member of a group; its thread is the only one that uses the consumer. */
final class Member implements AutoCloseable {
    private record Commit(TopicPartition partition, long offset, CompletableFuture<Void> done) {}

    private final String topic;
    private final KafkaConsumer<byte[], byte[]> consumer;
    private final LinkedBlockingQueue<ConsumerRecord<byte[], byte[]>> records = new LinkedBlockingQueue<>();
    private final LinkedBlockingQueue<Commit> commits = new LinkedBlockingQueue<>();
    private final Thread thread = new Thread(this::run, "member");
    private volatile List<Integer> partitions = List.of();
    private volatile boolean ending;
    private volatile Exception failed;

    Member(String protocol, String group, String topic) {
        this.topic = topic;
        var config = new HashMap<String, Object>(Map.of("group.id", group, "group.protocol", protocol,
            "enable.auto.commit", false, "auto.offset.reset", "earliest"));
        if (protocol.equals("classic")) {
            config.put("session.timeout.ms", 10000);
            config.put("heartbeat.interval.ms", 300);
        }
        consumer = Scenarios.consumer(config);
        thread.start();
    }

    private void run() {
        try (consumer) {
            consumer.subscribe(List.of(topic));
            while (!ending) {
                for (Commit c; (c = commits.poll()) != null; ) {
                    try {
                        consumer.commitSync(Map.of(c.partition, new OffsetAndMetadata(c.offset)));
                        c.done.complete(null);
                    } catch (Exception e) {
                        c.done.completeExceptionally(e);
                    }
                }
                consumer.poll(Duration.ofMillis(100)).forEach(records::add);
                partitions = consumer.assignment().stream().map(TopicPartition::partition).sorted().toList();
            }
        } catch (Exception e) {
            failed = e;
        }
    }

    List<Integer> partitions() {
        if (failed != null) {
            throw new IllegalStateException("the member failed", failed);
        }
        return partitions;
    }

    void commit(int partition, long offset) throws Exception {
        var c = new Commit(new TopicPartition(topic, partition), offset, new CompletableFuture<>());
        commits.add(c);
        c.done.get(30, TimeUnit.SECONDS);
    }

    /** Takes the records [lo, hi) of each partition: each once, in order. */
    void drain(Collection<Integer> partitions, int lo, int hi) throws Exception {
        var next = new HashMap<Integer, Integer>();
        partitions.forEach(p -> next.put(p, lo));
        for (int missing = partitions.size() * (hi - lo); missing > 0; missing--) {
            var r = records.poll(30, TimeUnit.SECONDS);
            if (r == null) {
                throw new AssertionError(missing + " records are missing, next are " + next + ", error: " + failed);
            }
            Integer i = next.get(r.partition());
            if (i == null) {
                throw new AssertionError("partition " + r.partition() + " came to the member of " + partitions);
            }
            Sample.expect(r, Sample.of(topic, r.partition(), i), i);
            next.put(r.partition(), i + 1);
        }
    }

    @Override
    public void close() throws Exception {
        ending = true;
        thread.join(60_000);
        if (thread.isAlive()) {
            throw new AssertionError("the member does not end");
        }
        if (failed != null) {
            throw failed;
        }
    }
}
