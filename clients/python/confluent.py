"""The program of confluent-kafka."""

import confluent_kafka
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec,
                                   ResourceType)

import scenarios
from scenarios import BOOTSTRAP, REPLICATION, Record


def record(m):
    return Record(m.partition(), m.offset(), m.key(), m.value(), m.headers() or [], m.timestamp()[1])


def done(futures):
    """The results of an administrative call, one for each resource; errors are raised."""
    return {k: f.result(30) for k, f in futures.items()}


class Member(scenarios.Member):
    def poll_now(self):
        m = self.consumer.poll(0.1)
        if m is None:
            return []
        if m.error():
            raise KafkaException(m.error())
        return [record(m)]

    def assigned_now(self):
        return [tp.partition for tp in self.consumer.assignment()]

    def commit_now(self, partition, offset):
        for tp in self.consumer.commit(offsets=[TopicPartition(self.topic, partition, offset)], asynchronous=False):
            if tp.error:
                raise KafkaException(tp.error)


class Client:
    def __init__(self):
        self.admin = AdminClient({"bootstrap.servers": BOOTSTRAP})

    def create_topic(self, topic, partitions, config):
        done(self.admin.create_topics([NewTopic(topic, partitions, REPLICATION, config=config)]))

    def count_partitions(self, topic):
        return len(self.admin.list_topics(topic, timeout=10).topics[topic].partitions)

    def send_all(self, producer, topic, records):
        delivered = []

        def on_delivery(err, m):
            delivered.append(err or m.offset())

        for r in records:
            extra = {"headers": r.headers} if r.headers else {}
            producer.produce(topic, r.value, key=r.key, partition=r.partition, timestamp=r.timestamp, on_delivery=on_delivery, **extra)
        if producer.flush(70):
            raise AssertionError("records are not delivered")
        for d in delivered:
            if isinstance(d, KafkaError):
                raise KafkaException(d)
        return delivered

    def simple(self, topic, value):
        producer = Producer({"bootstrap.servers": BOOTSTRAP})
        delivered = []
        producer.produce(topic, value.encode(), on_delivery=lambda err, m: delivered.append((err, m)))
        producer.flush(30)
        (err, m), = delivered
        if err:
            raise KafkaException(err)
        return m.offset()

    def produce(self, topic, records, codec="none", idempotent=False):
        self.send_all(Producer({
            "bootstrap.servers": BOOTSTRAP, "acks": "all", "enable.idempotence": idempotent, "linger.ms": 20,
            "compression.type": codec, "message.max.bytes": 10 << 20}), topic, records)

    def slow_producer(self, topic):
        producer = Producer({"bootstrap.servers": BOOTSTRAP, "acks": "all", "enable.idempotence": True, "linger.ms": 0,
                             "delivery.timeout.ms": 60000})
        return lambda r: self.send_all(producer, topic, [r]), lambda: producer.flush(10)

    def read(self, topic, partition, n, offset=0, millis=None):
        consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": "none", "enable.auto.commit": False})
        try:
            if millis is not None:
                tp, = consumer.offsets_for_times([TopicPartition(topic, partition, millis)], timeout=10)
                offset = tp.offset
            consumer.assign([TopicPartition(topic, partition, offset)])
            got = []
            while len(got) < n:
                messages = consumer.consume(n - len(got), timeout=30)
                if not messages:
                    raise AssertionError("read %d of %d records" % (len(got), n))
                for m in messages:
                    if m.error():
                        raise KafkaException(m.error())
                    got.append(record(m))
            return got
        finally:
            consumer.close()

    def join(self, protocol, group, topic):
        config = {"bootstrap.servers": BOOTSTRAP, "group.id": group, "enable.auto.commit": False, "auto.offset.reset": "earliest",
                  "group.protocol": protocol}
        if protocol == "classic":
            config.update({"session.timeout.ms": 10000, "heartbeat.interval.ms": 300})
        consumer = Consumer(config)
        consumer.subscribe([topic])
        return Member(consumer, topic)

    def unknown(self, topic):
        consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": "none", "allow.auto.create.topics": False,
                             "topic.metadata.propagation.max.ms": 500})
        try:
            consumer.subscribe([topic])
            m = consumer.poll(30)
            if m is not None and m.error():
                raise KafkaException(m.error())
        finally:
            consumer.close()

    def is_code(self, e, *codes):
        return isinstance(e, KafkaException) and e.args[0].code() in codes

    def is_topic_exists(self, e):
        return self.is_code(e, KafkaError.TOPIC_ALREADY_EXISTS)

    def is_unknown_topic(self, e):
        return self.is_code(e, KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)

    def is_too_large(self, e):
        return self.is_code(e, KafkaError.MSG_SIZE_TOO_LARGE)

    def admin_steps(self, topic, group):
        a = self.admin
        zero, one = TopicPartition(topic, 0), TopicPartition(topic, 1)
        resource = ConfigResource(ResourceType.TOPIC, topic)
        change = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[
            ConfigEntry("retention.ms", "86400000", incremental_operation=AlterConfigOpType.SET)])
        committed = ConsumerGroupTopicPartitions(group, [zero])
        return [
            ("describe_cluster", lambda: a.describe_cluster().result(30), lambda r: r.cluster_id and r.nodes),
            ("list_topics", lambda: a.list_topics(timeout=10), lambda r: len(r.topics[topic].partitions) == 2),
            ("incremental_alter_configs", lambda: done(a.incremental_alter_configs([change])), lambda r: True),
            ("describe_configs", lambda: done(a.describe_configs([resource])), lambda r: r[resource]["retention.ms"].value == "86400000"),
            ("create_partitions", lambda: done(a.create_partitions([NewPartitions(topic, 3)])), lambda r: self.count_partitions(topic) == 3),
            ("delete_records", lambda: done(a.delete_records([TopicPartition(topic, 0, 5)])), lambda r: r[zero].low_watermark == 5),
            ("list_offsets", lambda: done(a.list_offsets({zero: OffsetSpec.earliest(), one: OffsetSpec.latest()})),
             lambda r: (r[zero].offset, r[one].offset) == (5, 20)),
            ("list_consumer_groups", lambda: a.list_consumer_groups().result(30), lambda r: group in [g.group_id for g in r.valid]),
            ("describe_consumer_groups", lambda: done(a.describe_consumer_groups([group])), lambda r: r[group].state.name == "EMPTY"),
            ("list_consumer_group_offsets", lambda: done(a.list_consumer_group_offsets([committed])),
             lambda r: r[group].topic_partitions[0].offset == 7),
            ("delete_consumer_groups", lambda: done(a.delete_consumer_groups([group])), lambda r: True),
            ("delete_topics", lambda: done(a.delete_topics([topic])), lambda r: topic not in a.list_topics(timeout=10).topics),
        ]


if __name__ == "__main__":
    scenarios.main(Client(), "%s (librdkafka %s)" % (confluent_kafka.__version__, confluent_kafka.libversion()[0]))
