"""The program of kafka-python."""

import kafka
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import MessageSizeTooLargeError, TopicAlreadyExistsError, UnknownTopicOrPartitionError
from kafka.structs import OffsetAndMetadata

import scenarios
from scenarios import BOOTSTRAP, REPLICATION, NotApplicable, Record


def record(m):
    return Record(m.partition, m.offset, m.key, m.value, list(m.headers), m.timestamp)


class Member(scenarios.Member):
    def poll_now(self):
        return [record(m) for batch in self.consumer.poll(timeout_ms=100).values() for m in batch]

    def assigned_now(self):
        return [tp.partition for tp in self.consumer.assignment()]

    def commit_now(self, partition, offset):
        self.consumer.commit({TopicPartition(self.topic, partition): OffsetAndMetadata(offset, "", -1)})


class Client:
    def __init__(self):
        self.admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)

    def create_topic(self, topic, partitions, config):
        self.admin.create_topics({topic: {"num_partitions": partitions, "replication_factor": REPLICATION, "configs": config}})

    def count_partitions(self, topic):
        return len(self.admin.describe_topics([topic])[0]["partitions"])

    def simple(self, topic, value):
        producer = KafkaProducer(bootstrap_servers=BOOTSTRAP)
        try:
            return producer.send(topic, value.encode()).get(timeout=30).offset
        finally:
            producer.close()

    def produce(self, topic, records, codec="none", idempotent=False):
        producer = KafkaProducer(
            bootstrap_servers=BOOTSTRAP, acks="all", enable_idempotence=idempotent, linger_ms=20,
            compression_type=None if codec == "none" else codec, max_request_size=10 << 20)
        try:
            sent = [producer.send(topic, r.value, key=r.key, headers=r.headers, partition=r.partition, timestamp_ms=r.timestamp)
                    for r in records]
            for future in sent:
                future.get(timeout=30)
        finally:
            producer.close()

    def slow_producer(self, topic):
        producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, acks="all", enable_idempotence=True, delivery_timeout_ms=60000,
                                 request_timeout_ms=10000)

        def send(r):
            producer.send(topic, r.value, partition=r.partition, timestamp_ms=r.timestamp).get(timeout=70)

        return send, producer.close

    def read(self, topic, partition, n, offset=0, millis=None):
        consumer = KafkaConsumer(bootstrap_servers=BOOTSTRAP, enable_auto_commit=False, consumer_timeout_ms=30000)
        try:
            tp = TopicPartition(topic, partition)
            consumer.assign([tp])
            if millis is not None:
                offset = consumer.offsets_for_times({tp: millis})[tp].offset
            consumer.seek(tp, offset)
            got = []
            for m in consumer:
                got.append(record(m))
                if len(got) == n:
                    break
            return got
        finally:
            consumer.close()

    def join(self, protocol, group, topic):
        if protocol != "classic":
            raise NotApplicable("kafka-python has no KIP-848 groups")
        return Member(KafkaConsumer(
            topic, bootstrap_servers=BOOTSTRAP, group_id=group, enable_auto_commit=False, auto_offset_reset="earliest",
            session_timeout_ms=10000, heartbeat_interval_ms=300), topic)

    def unknown(self, topic):
        found = self.admin.describe_topics([topic])[0]
        raise kafka.errors.for_code(found["error_code"])()

    def is_topic_exists(self, e):
        return isinstance(e, TopicAlreadyExistsError)

    def is_unknown_topic(self, e):
        return isinstance(e, UnknownTopicOrPartitionError)

    def is_too_large(self, e):
        return isinstance(e, MessageSizeTooLargeError)

    def admin_steps(self, topic, group):
        a = self.admin
        zero, one = TopicPartition(topic, 0), TopicPartition(topic, 1)
        day = {"retention.ms": "86400000"}
        return [
            ("describe_cluster", a.describe_cluster, lambda r: r["cluster_id"] and len(r["brokers"]) > 0),
            ("list_topics", a.list_topics, lambda r: topic in r),
            ("alter_configs", lambda: a.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, day)]), lambda r: True),
            ("describe_configs", lambda: a.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)]),
             lambda r: "86400000" in repr(r)),
            ("create_partitions", lambda: a.create_partitions({topic: 3}), lambda r: len(a.describe_topics([topic])[0]["partitions"]) == 3),
            ("delete_records", lambda: a.delete_records({zero: 5}), lambda r: r[zero]["low_watermark"] == 5),
            ("list_groups", a.list_groups, lambda r: group in repr(r)),
            ("describe_groups", lambda: a.describe_groups([group]), lambda r: "Empty" in repr(r)),
            ("list_group_offsets", lambda: a.list_group_offsets({group: [zero, one]}), lambda r: "offset=7" in repr(r)),
            ("delete_group_offsets", lambda: a.delete_group_offsets(group, [zero]), lambda r: True),
            ("delete_groups", lambda: a.delete_groups([group]), lambda r: group not in repr(a.list_groups())),
            ("delete_topics", lambda: a.delete_topics([topic]), lambda r: topic not in a.list_topics()),
        ]


if __name__ == "__main__":
    scenarios.main(Client(), kafka.__version__)
