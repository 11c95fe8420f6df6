"""The scenarios of the Python clients; package scenario has the same in Go, and says how
they are reported."""

import hashlib
import os
import queue
import sys
import threading
import time
from collections import namedtuple

Record = namedtuple("Record", "partition offset key value headers timestamp")

BOOTSTRAP = os.environ["BOOTSTRAP"]
PREFIX = os.environ["PREFIX"]
START_MS = int(os.environ["START_MS"])
REPLICATION = int(os.environ["REPLICATION"])
SCENARIO_MAX = 90  # seconds


class NotApplicable(Exception):
    """The library does not have this."""


def sample(partition, i):
    """Record i of the series that every client produces."""
    return Record(
        partition=partition,
        offset=i,
        key=None if i % 4 == 3 else b"key-%04d" % i,
        value=("value-%04d-é✓-" % i + "abcdefghij" * (i % 7 * 10)).encode(),
        headers=[("index", b"%d" % i), ("bytes", b"\x00\x01\xfe\xff")],
        timestamp=START_MS + i * 1000,
    )


def samples(partition, lo, hi):
    return [sample(partition, i) for i in range(lo, hi)]


def expect(got, want, what="answer"):
    if got != want:
        raise AssertionError("%s: %r, want %r" % (what, got, want))


def same(got, want):
    expect(len(got), len(want), "number of records")
    for g, w in zip(got, want):
        expect(g, w, "record")


def fails(check, fn):
    """Calls fn, which has to raise an error that check knows."""
    try:
        fn()
    except NotApplicable:
        raise
    except Exception as e:
        if check(e):
            return
        raise
    raise AssertionError("no error")


class Member(threading.Thread):
    """A member of a group; one thread uses the consumer, as most libraries want it."""

    def __init__(self, consumer, topic):
        super().__init__(daemon=True)
        self.consumer, self.topic = consumer, topic
        self.records = queue.Queue(1000)
        self.commits = queue.Queue()
        self.partitions = []
        self.error = None
        self.ending = threading.Event()
        self.start()

    def run(self):
        try:
            while not self.ending.is_set():
                while not self.commits.empty():
                    partition, offset, done = self.commits.get()
                    try:
                        self.commit_now(partition, offset)
                        done.put(None)
                    except Exception as e:
                        done.put(e)
                for record in self.poll_now():
                    self.records.put(record)
                self.partitions = sorted(self.assigned_now())
        except Exception as e:
            self.error = e
        finally:
            self.consumer.close()

    def commit(self, partition, offset):
        done = queue.Queue()
        self.commits.put((partition, offset, done))
        error = done.get(timeout=30)
        if error:
            raise error

    def wait_for(self, cond, what):
        end = time.monotonic() + SCENARIO_MAX
        while not cond():
            if self.error:
                raise self.error
            if time.monotonic() > end:
                raise AssertionError("waiting for %s: it has %r" % (what, self.partitions))
            time.sleep(0.02)

    def drain(self, partitions, lo, hi):
        """Takes the records [lo, hi) of each partition: each once, in order."""
        following = {p: lo for p in partitions}
        for _ in range(len(partitions) * (hi - lo)):
            try:
                r = self.records.get(timeout=30)
            except queue.Empty:
                raise AssertionError("records are missing: next are %r; error: %r" % (following, self.error))
            if r.partition not in following:
                raise AssertionError("partition %d came to the member of %r" % (r.partition, partitions))
            expect(r, sample(r.partition, following[r.partition]), "record")
            following[r.partition] += 1

    def leave(self):
        self.ending.set()
        self.join(30)
        if self.is_alive():
            raise AssertionError("the member does not end")
        if self.error:
            raise self.error


def create(c, topic):
    config = {"retention.ms": "86400000", "max.message.bytes": "200000"}
    c.create_topic(topic, 3, config)
    expect(c.count_partitions(topic), 3, "partitions")
    fails(c.is_topic_exists, lambda: c.create_topic(topic, 3, config))


def first_use(c, topic):
    expect(c.simple(topic, "FOOBAR"), 0, "offset")
    if c.count_partitions(topic) == 1:
        got = c.read(topic, 0, 1)[0]
        expect((got.key, got.value), (None, b"FOOBAR"))


def round_trip(c, topic, codec="none", idempotent=False, n=40):
    c.create_topic(topic, 1, {})
    c.produce(topic, samples(0, 0, n), codec=codec, idempotent=idempotent)
    same(c.read(topic, 0, n), samples(0, 0, n))


def read_from(c, topic, first, offset=0, millis=None):
    c.create_topic(topic, 2, {})
    for p in range(2):
        c.produce(topic, samples(p, 0, 60), codec="gzip")
    same(c.read(topic, 1, 60 - first, offset=offset, millis=millis), samples(1, first, 60))


def group(c, topic, protocol):
    c.create_topic(topic, 4, {})
    name, everything = topic + "-group", [0, 1, 2, 3]

    def produce(lo, hi):
        for p in everything:
            c.produce(topic, samples(p, lo, hi))

    first = c.join(protocol, name, topic)
    second = None
    try:
        first.wait_for(lambda: first.partitions == everything, "the first member's partitions")
        second = c.join(protocol, name, topic)

        def halves():
            a, b = first.partitions, second.partitions
            return len(a) == 2 and len(b) == 2 and sorted(a + b) == everything

        second.wait_for(halves, "two partitions each")
        shares = [(first, first.partitions), (second, second.partitions)]
        produce(0, 10)
        for member, share in shares:
            member.drain(share, 0, 10)
            for p in share:
                member.commit(p, 10)
        leaving, second = second, None
        leaving.leave()
        first.wait_for(lambda: first.partitions == everything, "all partitions again")
        produce(10, 20)
        first.drain(everything, 10, 20)
    finally:
        if second:
            second.ending.set()
        first.leave()


def commit_resume(c, topic):
    c.create_topic(topic, 1, {})
    c.produce(topic, samples(0, 0, 60))
    for lo, hi in ((0, 25), (25, 60)):
        m = c.join("classic", topic + "-group", topic)
        try:
            m.drain([0], lo, hi)
            m.commit(0, hi)
        finally:
            m.leave()


def admin(c, topic):
    c.create_topic(topic, 2, {})
    for p in range(2):
        c.produce(topic, samples(p, 0, 20))
    m = c.join("classic", topic + "-group", topic)
    try:
        m.wait_for(lambda: m.partitions == [0, 1], "all partitions")
        m.commit(0, 7)
    finally:
        m.leave()
    calls = []
    for name, call, check in c.admin_steps(topic, topic + "-group"):
        calls.append(name)
        got = call()
        if not check(got):
            raise AssertionError("%s: unexpected answer %r" % (name, got))
    return ",".join(calls)


def too_large(c, topic):
    c.create_topic(topic, 1, {"max.message.bytes": "5000"})
    random = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(700))
    fails(c.is_too_large, lambda: c.produce(topic, [sample(0, 0)._replace(value=random)]))
    small = sample(0, 1)
    c.produce(topic, [small])
    same(c.read(topic, 0, 1), [small._replace(offset=0)])


def failover(c, topic):
    total, interval = int(os.environ["FAILOVER_RECORDS"]), int(os.environ["FAILOVER_MS"]) / 1000
    c.create_topic(topic, 3, {})
    send, close = c.slow_producer(topic)
    longest = 0
    for i in range(total):
        began = time.monotonic()
        send(Record(i % 3, None, None, b"%d" % i, [], START_MS + i))
        took = time.monotonic() - began
        longest = max(longest, took)
        if (i + 1) % 25 == 0:
            print("@ progress %d" % (i + 1), flush=True)
        time.sleep(max(0, interval - took))
    close()
    for p in range(3):
        c.produce(topic, [Record(p, None, None, b"end", [], START_MS)])
        want = [b"%d" % i for i in range(p, total, 3)] + [b"end"]
        expect([r.value for r in c.read(topic, p, len(want))], want, "partition %d" % p)
    return "longest wait for an ack %d ms" % (longest * 1000)


def call(c, name, topic):
    if name in ("none", "gzip", "snappy", "lz4", "zstd"):
        return round_trip(c, topic, codec=name)
    return {
        "create": lambda: create(c, topic),
        "first-use": lambda: first_use(c, topic),
        "idempotent": lambda: round_trip(c, topic, idempotent=True, n=200),
        "from-start": lambda: read_from(c, topic, 0),
        "from-offset": lambda: read_from(c, topic, 37, offset=37),
        "from-time": lambda: read_from(c, topic, 42, millis=START_MS + 41500),
        "group-classic": lambda: group(c, topic, "classic"),
        "group-consumer": lambda: group(c, topic, "consumer"),
        "commit-resume": lambda: commit_resume(c, topic),
        "admin": lambda: admin(c, topic),
        "unknown-topic": lambda: fails(c.is_unknown_topic, lambda: c.unknown(topic)),
        "too-large": lambda: too_large(c, topic),
        "failover": lambda: failover(c, topic),
    }[name]()


def main(client, version):
    print("@ version %s" % version, flush=True)
    status = 0
    for name in os.environ["SCENARIOS"].split(","):
        print("@ start %s" % name, flush=True)
        began = time.monotonic()

        def report(kind, text):
            ms = "" if kind == "na" else "%d " % ((time.monotonic() - began) * 1000)
            print("@ %s %s %s%s" % (kind, name, ms, " ".join(text.split())), flush=True)

        try:
            report("ok", call(client, name, PREFIX + "-" + name) or "")
        except NotApplicable as e:
            report("na", str(e))
        except Exception as e:
            report("fail", "%s: %s" % (type(e).__name__, str(e)[:2000]))
            status = 1
    sys.exit(status)
